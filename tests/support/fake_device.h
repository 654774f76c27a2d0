// A GPU made of host memory (PrivateUse1): operators run the CPU kernels, but every mixture of devices is refused, and host
// synchronisations and copies are counted. Not enforced: strides and types that only CUDA refuses; raw data_ptr reads go unseen.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace ups::test {

// The device; registers it on the first call.
at::Device fake_device();

struct DeviceCounts {
  long operators = 0;
  long syncs = 0;         // item(), bool(), nonzero ..: the host waits for the device
  long to_device = 0;     // copies from host memory
  long to_host = 0;
};
DeviceCounts device_counts();
// The operators that synchronised or copied since the last call, one per line: what to look for.
std::string take_device_trace();


// The operators of work, each to be run again with the same numbers and tensors: what a CUDA graph is. While they are recorded nothing
// that existed before changes; what a stream that records refuses throws: waits, copies to or from the host, draws of a generator.
using Operators = std::vector<std::function<void()>>;
Operators record_operators(const std::function<void()>& work);

}  // namespace ups::test
