#include "bench_device.h"

#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/csrc/autograd/profiler_kineto.h>

#include <set>
#include <string>

namespace ups::bench {
namespace {

namespace profiler = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;

Calls profile(c10::Device device, int n, const std::function<void()>& step) {
  const torch::profiler::impl::ProfilerConfig config(torch::profiler::impl::ProfilerState::KINETO);
  std::set<ActivityType> activities{ActivityType::CPU};
  if (device.is_cuda()) activities.insert(ActivityType::CUDA);
  synchronize(device);
  profiler::prepareProfiler(config, activities);
  profiler::enableProfiler(config, activities);
  for (int i = 0; i < n; ++i) step();
  synchronize(device);
  const auto result = profiler::disableProfiler();
  Calls calls;
  for (const auto& event : result->events()) {
    const std::string name = event.name();
    if (event.deviceType() == device.type() && !device.is_cpu()) {
      if (name.rfind("Memcpy", 0) == 0) calls.copies += name.find("DtoD") == std::string::npos;
      else if (name.rfind("Memset", 0) != 0) calls.kernels += 1;
    } else if (name.rfind("cu", 0) == 0 && name.find("Synchronize") != std::string::npos) {
      calls.waits += 1;
    }
  }
  return calls;
}

}  // namespace

void synchronize(c10::Device device) {
  if (device.is_cpu()) return;
  const auto* guard = c10::impl::getDeviceGuardImpl(device.type());
  guard->synchronizeDevice(guard->getDevice().index());
}

Calls count_calls(c10::Device device, int n, const std::function<void()>& step) {
  profile(device, 1, step);
  const Calls once = profile(device, n, step), twice = profile(device, 2 * n, step);
  const auto per_step = [n](double a, double b) { return (b - a) / n; };
  return {per_step(once.kernels, twice.kernels), per_step(once.copies, twice.copies), per_step(once.waits, twice.waits)};
}

}  // namespace ups::bench
