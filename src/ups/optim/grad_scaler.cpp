#include "ups/optim/grad_scaler.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <stdexcept>

#include "ups/optim/tensor_lists.h"

namespace ups::optim {

GradScaler::GradScaler(GradScalerOptions options) : options_(options) {}

void GradScaler::init(at::Device device) {
  if (scale_.defined()) return;
  const auto on = at::TensorOptions().device(device);
  scale_ = at::full({}, options_.init_scale, on.dtype(at::kFloat));
  tracker_ = at::full({}, init_tracker_, on.dtype(at::kInt));
}

at::Tensor GradScaler::scale(const at::Tensor& loss) {
  if (!options_.enabled) return loss;
  init(loss.device());
  return loss * scale_;  // two 0-dim tensors promote: an fp16 loss becomes fp32 instead of overflowing
}

GradPass GradScaler::unscale(const std::string& optimizer, const ParamList& params) { return pass(optimizer, params, false); }
GradPass GradScaler::read(const std::string& optimizer, const ParamList& params) { return pass(optimizer, params, true); }

GradPass GradScaler::pass(const std::string& optimizer, const ParamList& params, bool only_read) {
  if (const auto it = entries_.find(optimizer); it != entries_.end())
    throw std::logic_error(it->second.stage == Stage::unscaled ? "unscale() was already called for this optimizer since update()"
                                                               : "unscale() after step()");
  c10::NoGradGuard no_grad;
  GradPass pass;
  if (!options_.enabled) {
    if (!only_read || !read_gradients(params, 1, pass)) pass = unscale_and_norm(params);
  } else {
    if (!scale_.defined()) throw std::logic_error("unscale() before the first scale()");
    bool any = false;
    for (const auto& p : params) {
      if (!p.tensor.grad().defined()) continue;
      any = true;
      if (p.tensor.grad().scalar_type() == at::kHalf) throw std::invalid_argument("fp16 gradients cannot be unscaled: keep fp32 weights");
    }
    if (!any) throw std::logic_error("unscale() found no gradient");
    const at::Tensor inverse = scale_.to(at::kDouble).reciprocal().to(at::kFloat);
    const bool on_host = only_read && inverse.device().is_cpu();
    if (!on_host || !read_gradients(params, host_value(inverse), pass)) pass = unscale_and_norm(params, inverse);
  }
  entries_[optimizer] = {Stage::unscaled, pass.found_inf};
  return pass;
}

at::Tensor GradScaler::step(const std::string& optimizer) {
  const auto it = entries_.find(optimizer);
  if (it == entries_.end()) throw std::logic_error("step() before unscale()");
  if (it->second.stage == Stage::stepped) throw std::logic_error("step() was already called since update()");
  it->second.stage = Stage::stepped;
  return it->second.found_inf;
}

at::Tensor GradScaler::step_or_unscale(const std::string& optimizer, const ParamList& params) {
  if (!entries_.count(optimizer)) unscale(optimizer, params);
  return step(optimizer);
}

at::Tensor GradScaler::found_inf() const {
  at::Tensor flag;
  for (const auto& [key, entry] : entries_)
    flag = flag.defined() ? at::maximum(flag, entry.found_inf.to(flag.device())) : entry.found_inf;
  return flag;
}

void GradScaler::update() {
  c10::NoGradGuard no_grad;
  if (entries_.empty()) throw std::logic_error("update() without unscale()");
  if (options_.enabled) {
    at::Tensor found = found_inf().to(scale_.device());
    const at::Tensor floor = options_.min_scale > 0 ? scale_.clamp_max(options_.min_scale) : at::Tensor();
    at::_amp_update_scale_(scale_, tracker_, found, options_.growth_factor, options_.backoff_factor, options_.growth_interval);
    if (floor.defined()) scale_.copy_(at::maximum(scale_, floor));
  }
  entries_.clear();
}

GradScaler::State GradScaler::state() const {
  return {scale_.defined() ? scale_.item<double>() : options_.init_scale, options_.growth_factor, options_.backoff_factor,
          options_.growth_interval, tracker_.defined() ? tracker_.item<int32_t>() : init_tracker_};
}

void GradScaler::load_state(const State& state) {
  options_.init_scale = state.scale;
  options_.growth_factor = state.growth_factor;
  options_.backoff_factor = state.backoff_factor;
  options_.growth_interval = state.growth_interval;
  init_tracker_ = state.growth_tracker;
  if (scale_.defined()) {
    scale_.fill_(state.scale);
    tracker_.fill_(state.growth_tracker);
  }
  entries_.clear();
}

}  // namespace ups::optim
