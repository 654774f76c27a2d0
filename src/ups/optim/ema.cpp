#include "ups/optim/ema.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

#include "ups/optim/host_kernels.h"
#include "ups/optim/named_state.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {

Ema::Ema(EmaOptions options, const Named& params, const Named& buffers) : options_(options) {
  c10::NoGradGuard no_grad;
  auto add = [&](const std::string& name, const at::Tensor& t) {
    names_.push_back(name);
    live_.push_back(t);
    shadow_.push_back(t.detach().clone());
  };
  for (const auto& [name, t] : params) {
    add(name, t);
    if (t.is_floating_point() || t.is_complex()) {
      float_live_.push_back(t.detach().is_complex() ? at::view_as_real(t.detach()) : t.detach());
      float_shadow_.push_back(t.is_complex() ? at::view_as_real(shadow_.back()) : shadow_.back());
    } else {
      copied_.push_back(live_.size() - 1);
    }
  }
  for (const auto& [name, t] : buffers) {
    add(name, t);
    copied_.push_back(live_.size() - 1);
  }
  const at::Device device = live_.empty() ? at::Device(at::kCPU) : live_[0].device();
  count_ = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device));
}

void Ema::update(const at::Tensor& found_inf) {
  c10::NoGradGuard no_grad;
  if (host_masked(found_inf)) return;
  const bool on_host = count_.device().is_cpu();
  const bool select = found_inf.defined() && !found_inf.device().is_cpu();
  const at::Tensor skip = select ? found_inf.eq(1) : at::Tensor();
  at::Tensor weight;  // 1 - d
  if (on_host) {
    const double n = host_value(count_);
    const double d = options_.warmup ? std::min(options_.decay, (1 + n) / (10 + n)) : options_.decay;
    for (size_t i = 0; i < float_live_.size(); ++i) {
      const at::Tensor &value = float_live_[i], &shadow = float_shadow_[i];
      if (host_dense(value) && value.strides() == shadow.strides()) {
        if (value.scalar_type() == at::kFloat)
          host::ema(shadow.mutable_data_ptr<float>(), value.const_data_ptr<float>(), value.numel(), 1 - d);
        else host::ema(shadow.mutable_data_ptr<double>(), value.const_data_ptr<double>(), value.numel(), 1 - d);
      } else {
        shadow.add_(at::sub(value, shadow), 1 - d);
      }
    }
    *count_.mutable_data_ptr<double>() = n + 1;
  } else {
    const at::Tensor n = count_;
    weight = options_.warmup ? 1 - ((n + 1) / (n + 10)).clamp_max(options_.decay)
                             : at::full({}, 1 - options_.decay, count_.options());
    for (size_t i = 0; i < float_live_.size(); ++i) {
      const at::Tensor &value = float_live_[i], &shadow = float_shadow_[i];
      const at::Tensor next = shadow + weight.to(shadow.scalar_type()) * (value - shadow);
      shadow.copy_(select ? at::where(skip, shadow, next) : next);
    }
    count_.copy_(select ? at::where(skip, n, n + 1) : n + 1);
  }
  for (const size_t i : copied_) shadow_[i].copy_(select ? at::where(skip, shadow_[i], live_[i]) : live_[i]);
}

void Ema::swap() {
  c10::NoGradGuard no_grad;
  for (size_t i = 0; i < live_.size(); ++i) {
    const at::Tensor kept = live_[i].detach().clone();
    live_[i].detach().copy_(shadow_[i]);
    shadow_[i].copy_(kept);
  }
  swapped_ = !swapped_;
}

Ema::Named Ema::state() const {
  Named out;
  for (size_t i = 0; i < names_.size(); ++i) out.emplace_back(names_[i], swapped_ ? live_[i].detach() : shadow_[i]);
  return out;
}

void Ema::load_state(const Named& values, double count, const std::string& what) {
  copy_by_name(state(), values, "EMA state", what);
  count_.fill_(count);
}

void Ema::reset() {
  c10::NoGradGuard no_grad;
  for (size_t i = 0; i < live_.size(); ++i) shadow_[i].copy_(live_[i].detach());
  count_.zero_();
}

}  // namespace ups::optim
