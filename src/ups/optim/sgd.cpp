#include "ups/optim/sgd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "ups/optim/tensor_lists.h"

namespace ups::optim {

Sgd::Sgd(const SgdOptions& options, ParamList params) : options_(options), lr_(options.lr), params_(std::move(params)) {
  c10::NoGradGuard no_grad;
  for (const auto& p : params_) {
    check_trainable(p);
    Slot s;
    s.w = real_view(p.tensor.detach());
    if (options_.rule.momentum != 0) s.buffer = at::zeros_like(s.w, {}, at::MemoryFormat::Preserve);
    if (options_.rule.momentum != 0 && options_.rule.dampening != 0) s.step = at::zeros({}, s.w.options().dtype(at::kFloat));
    slots_.push_back(std::move(s));
  }
}

void Sgd::step(const at::Tensor& found_inf) {
  if (host_masked(found_inf)) return;
  c10::NoGradGuard no_grad;
  const bool select = found_inf.defined() && !found_inf.device().is_cpu();
  for (size_t i = 0; i < slots_.size(); ++i) {
    Slot& s = slots_[i];
    at::Tensor g = gradient_like(params_[i].tensor, s.w);
    if (!g.defined()) continue;
    if (grad_factor_ != 1) g = g * grad_factor_;
    at::Tensor next_buffer;
    const at::Tensor direction = sgd_direction(options_.rule, s.w, g, s.buffer, s.step, next_buffer);
    if (!select) {
      s.w.add_(direction, -lr_);
      if (next_buffer.defined()) s.buffer.copy_(next_buffer);
      if (s.step.defined()) s.step.add_(1);
      continue;
    }
    const at::Tensor skip = found_inf.eq(1);
    s.w.copy_(at::where(skip, s.w, at::add(s.w, direction, -lr_)));
    if (next_buffer.defined()) s.buffer.copy_(at::where(skip, s.buffer, next_buffer));
    if (s.step.defined()) s.step.copy_(at::where(skip, s.step, s.step + 1));
  }
}

std::vector<GroupInfo> Sgd::groups() const {
  GroupInfo g{"sgd", options_.lr, options_.rule.weight_decay, {}, 0};
  for (const auto& p : params_) g.params.push_back(p.name);
  return {g};
}

void Sgd::set_lrs(std::span<const double> lrs) {
  assert(lrs.size() == 1);
  lr_ = lrs[0];
}

NamedTensors Sgd::state() const {
  NamedTensors out;
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i].buffer.defined()) out.emplace_back(params_[i].name + "/momentum_buffer", slots_[i].buffer);
    if (slots_[i].step.defined()) out.emplace_back(params_[i].name + "/step", slots_[i].step);
  }
  return out;
}

std::string Sgd::summary() const {
  return fmt::format("SGD {} tensors, lr {}, momentum {}{}, dampening {}, weight decay {}", params_.size(), options_.lr,
                     options_.rule.momentum, options_.rule.nesterov ? " (Nesterov)" : "", options_.rule.dampening,
                     options_.rule.weight_decay);
}

}  // namespace ups::optim
