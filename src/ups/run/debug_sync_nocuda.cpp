// Stands in for debug_sync_cuda.cpp in builds without CUDA.
#include "ups/run/debug_sync.h"

namespace ups::run {

void forbid_host_sync(bool) {}

}  // namespace ups::run
