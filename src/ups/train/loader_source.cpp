#include "ups/train/loader_source.h"

#include <ATen/ATen.h>

namespace ups::train {

TensorBatch to_tensors(const data::Batch& b, const data::SetInfo& info, at::Device device) {
  const auto tensor = [&](const std::vector<float>& values, std::vector<int64_t> shape) {
    // A copy: the buffers of the batch die with it.
    at::Tensor t = at::empty(shape, at::kFloat);
    std::copy(values.begin(), values.end(), t.data_ptr<float>());
    return device.is_cpu() ? t : t.to(device, /*non_blocking=*/true);
  };
  const auto shaped = [&](std::vector<int64_t> lead) {
    lead.insert(lead.end(), info.grid.begin(), info.grid.end());
    return lead;
  };
  TensorBatch out;
  out.fields = tensor(b.fields, shaped({b.size, b.frames, info.channels}));
  if (info.coeff_channels > 0) out.coeff = tensor(b.coeff, shaped({b.size, info.coeff_channels}));
  if (!b.params.empty()) out.params = tensor(b.params, {b.size, static_cast<int64_t>(b.params.size()) / b.size});
  out.dt = tensor(b.dt, {b.size});
  out.trajectory = b.trajectory;
  out.first_frame = b.first_frame;
  return out;
}

}  // namespace ups::train
