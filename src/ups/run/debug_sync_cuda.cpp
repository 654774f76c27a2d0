#include <c10/cuda/CUDAFunctions.h>

#include "ups/run/debug_sync.h"

namespace ups::run {

void forbid_host_sync(bool on) {
  c10::cuda::warning_state().set_sync_debug_mode(on ? c10::cuda::SyncDebugMode::L_ERROR : c10::cuda::SyncDebugMode::L_DISABLED);
}

}  // namespace ups::run
