// --debug-sync: CUDA calls that make the host wait for the device become errors.
#pragma once

namespace ups::run {

// Without CUDA in the build: nothing happens.
void forbid_host_sync(bool on);

}  // namespace ups::run
