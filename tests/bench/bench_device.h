// What the benchmarks need to run on a GPU: a wait for the device, and the counts of what a step asks of it.
#pragma once
#include <c10/core/Device.h>

#include <functional>

namespace ups::bench {

// Waits until the device has done everything asked of it; nothing on the CPU.
void synchronize(c10::Device device);

// Per step, from the profiler (Kineto): kernels run on the device, copies between host and device, calls that wait for it.
struct Calls {
  double kernels = 0, copies = 0, waits = 0;
};
// Profiles n and 2 n steps; the difference, so that what the profiler itself adds cancels. Zeros on the CPU.
Calls count_calls(c10::Device device, int n, const std::function<void()>& step);

}  // namespace ups::bench
