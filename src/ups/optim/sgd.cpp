#include "ups/optim/sgd.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cassert>
#include <utility>

#include "ups/optim/host_kernels.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {

Sgd::Sgd(const SgdOptions& options, ParamList params) : options_(options), lr_(options.lr), params_(std::move(params)) {
  c10::NoGradGuard no_grad;
  for (const auto& p : params_) {
    check_trainable(p);
    Slot s;
    s.w = real_view(p.tensor.detach());
    s.host = host_dense(s.w);
    if (options_.rule.momentum != 0) s.buffer = at::zeros_like(s.w, {}, at::MemoryFormat::Preserve);
    if (options_.rule.momentum != 0 && options_.rule.dampening != 0) s.step = at::zeros({}, s.w.options().dtype(at::kFloat));
    if (s.host) pieces_.add(slots_.size(), s.w.numel());
    slots_.push_back(std::move(s));
  }
  grads_.resize(slots_.size());
  pieces_.close();
}

void Sgd::step(const at::Tensor& found_inf) {
  if (host_masked(found_inf)) return;
  c10::NoGradGuard no_grad;
  bool any_host = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    grads_[i] = gradient_like(params_[i].tensor, slots_[i].w);
    if (!grads_[i].defined()) continue;
    if (slots_[i].host) any_host = true;
    else step_aten(i, found_inf);
  }
  if (any_host) step_host();
  for (auto& g : grads_) g.reset();
}

void Sgd::step_host() {
  int64_t numbers = 0;
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].host && grads_[i].defined()) numbers += slots_[i].w.numel();
  host::SgdScalars common{lr_, options_.rule.weight_decay, options_.rule.momentum, options_.rule.dampening, grad_factor_, options_.rule.nesterov};
  const auto piece = [&]<class T>(const Slot& s, const at::Tensor& g, int64_t begin, int64_t end) {
    host::SgdScalars scalars = common;
    scalars.first = s.step.defined() && *s.step.const_data_ptr<float>() == 0;
    host::sgd(s.w.mutable_data_ptr<T>() + begin, g.const_data_ptr<T>() + begin, s.buffer.defined() ? s.buffer.mutable_data_ptr<T>() + begin : nullptr,
              end - begin, scalars);
  };
  pieces_.each(numbers, [&](size_t slot, int64_t begin, int64_t end) {
    const at::Tensor& g = grads_[slot];
    if (!g.defined()) return;
    if (g.scalar_type() == at::kFloat) piece.operator()<float>(slots_[slot], g, begin, end);
    else piece.operator()<double>(slots_[slot], g, begin, end);
  });
  for (size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].host && grads_[i].defined() && slots_[i].step.defined()) *slots_[i].step.mutable_data_ptr<float>() += 1;
}

void Sgd::step_aten(size_t slot, const at::Tensor& found_inf) {
  Slot& s = slots_[slot];
  const at::Tensor g = grad_factor_ == 1 ? grads_[slot] : grads_[slot] * grad_factor_;
  at::Tensor next_buffer;
  const at::Tensor direction = sgd_direction(options_.rule, s.w, g, s.buffer, s.step, next_buffer);
  if (!found_inf.defined() || found_inf.device().is_cpu()) {
    s.w.add_(direction, -lr_);
    if (next_buffer.defined()) s.buffer.copy_(next_buffer);
    if (s.step.defined()) s.step.add_(1);
    return;
  }
  const at::Tensor skip = found_inf.eq(1);
  s.w.copy_(at::where(skip, s.w, at::add(s.w, direction, -lr_)));
  if (next_buffer.defined()) s.buffer.copy_(at::where(skip, s.buffer, next_buffer));
  if (s.step.defined()) s.step.copy_(at::where(skip, s.step, s.step + 1));
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
