// One block per matrix; the phases of muon_small.h between __syncthreads().
#include <cuda_runtime.h>

#include "ups/optim/muon_small_cuda.h"

namespace ups::optim::small {
namespace {

constexpr int kThreads = 512, kWarp = 32, kWarps = kThreads / kWarp;

struct Block {
  float* partial;  // kThreads floats of shared memory

  template <class F>
  __device__ void for_each(int64_t n, const F& f) {
    for (int64_t i = threadIdx.x; i < n; i += kThreads) f(i);
    __syncthreads();
  }
  // A warp owns a column: it reads all of it before it writes.
  template <class F, class Put>
  __device__ void columns(int n, int m, const F& f, const Put& put) {
    const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
    constexpr int kPerLane = kMaxRows / kWarp;
    for (int j = warp; j < n; j += kWarps) {
      float value[kPerLane];
#pragma unroll
      for (int r = 0; r < kPerLane; ++r)
        if (lane + r * kWarp < m) value[r] = f(lane + r * kWarp, j);
      __syncwarp();
#pragma unroll
      for (int r = 0; r < kPerLane; ++r)
        if (lane + r * kWarp < m) put(lane + r * kWarp, j, value[r]);
    }
    __syncthreads();
  }
  template <class F, class Join>
  __device__ float reduce(int64_t n, const F& f, const Join& join) {
    float mine = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) mine = join(mine, f(i));
    partial[threadIdx.x] = mine;
    __syncthreads();
    for (int half = kThreads / 2; half > 0; half /= 2) {
      if (threadIdx.x < half) partial[threadIdx.x] = join(partial[threadIdx.x], partial[threadIdx.x + half]);
      __syncthreads();
    }
    const float all = partial[0];
    __syncthreads();
    return all;
  }
  struct Add {
    __device__ float operator()(float a, float b) const { return a + b; }
  };
  struct Larger {
    __device__ float operator()(float a, float b) const { return a > b ? a : b; }
  };
  template <class F>
  __device__ float sum(int64_t n, const F& f) { return reduce(n, f, Add{}); }
  template <class F>
  __device__ float largest(int64_t n, const F& f) { return reduce(n, f, Larger{}); }
};

__global__ void __launch_bounds__(kThreads) muon_small(const __grid_constant__ Launch launch) {
  extern __shared__ float memory[];
  Block block{memory};
  update(block, launch.matrices[blockIdx.x], launch.settings, memory + kThreads);
}

}  // namespace

size_t shared_memory_limit(int device) {
  int bytes = 0;
  if (cudaDeviceGetAttribute(&bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) != cudaSuccess) return 0;
  const size_t own = kThreads * sizeof(float);
  return static_cast<size_t>(bytes) > own ? static_cast<size_t>(bytes) - own : 0;
}

int run(const Launch& launch, size_t shared, void* stream) {
  const size_t bytes = shared + kThreads * sizeof(float);
  if (const cudaError_t e = cudaFuncSetAttribute(muon_small, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)); e != cudaSuccess) return e;
  muon_small<<<launch.count, kThreads, bytes, static_cast<cudaStream_t>(stream)>>>(launch);
  return cudaGetLastError();
}

}  // namespace ups::optim::small
