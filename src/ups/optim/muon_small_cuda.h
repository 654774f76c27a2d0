// Host interface of muon_small.cu: raw pointers only, so that neither side sees the other's headers.
#pragma once
#include <cstddef>

#include "ups/optim/muon_small.h"

namespace ups::optim::small {

// Bytes of shared memory that one block may have on the device.
size_t shared_memory_limit(int device);
// All matrices of `launch` in one kernel on `stream` (cudaStream_t); shared = the largest scratch in bytes. Returns a cudaError_t.
int run(const Launch& launch, size_t shared, void* stream);

}  // namespace ups::optim::small
