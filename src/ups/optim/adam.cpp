#include "ups/optim/adam.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cassert>
#include <map>
#include <optional>
#include <utility>

#include "ups/optim/host_kernels.h"
#include "ups/optim/tensor_lists.h"
#include "ups/optim/updates.h"

namespace ups::optim {
namespace {

template <class T>
void adam_piece(const host::AdamScalars& scalars, const void* grad, void* w, void* m, void* v, void* vmax, int64_t begin, int64_t end) {
  host::adam(static_cast<T*>(w) + begin, static_cast<const T*>(grad) + begin, static_cast<T*>(m) + begin, static_cast<T*>(v) + begin,
             vmax ? static_cast<T*>(vmax) + begin : nullptr, end - begin, scalars);
}

}  // namespace

Adam::Adam(const AdamOptions& options, ParamList params) : options_(options), lr_(options.lr), params_(std::move(params)) {
  c10::NoGradGuard no_grad;
  for (const auto& p : params_) {
    check_trainable(p);
    Slot s;
    s.w = real_view(p.tensor.detach());
    s.host = host_dense(s.w);
    s.step = at::zeros({}, s.w.options().dtype(at::kFloat));
    s.m = at::zeros_like(s.w, {}, at::MemoryFormat::Preserve);
    s.v = at::zeros_like(s.w, {}, at::MemoryFormat::Preserve);
    if (options_.amsgrad) s.vmax = at::zeros_like(s.w, {}, at::MemoryFormat::Preserve);
    if (s.host) pieces_.add(slots_.size(), s.w.numel());
    slots_.push_back(std::move(s));
  }
  grads_.resize(slots_.size());
  pointers_.resize(slots_.size());
  pieces_.close();
}

void Adam::step(const at::Tensor& found_inf) {
  if (host_masked(found_inf)) return;
  c10::NoGradGuard no_grad;
  std::vector<size_t> on_device;  // empty on the host: no allocation
  bool any_host = false;
  for (size_t i = 0; i < slots_.size(); ++i) {
    grads_[i] = gradient_like(params_[i].tensor, slots_[i].w);
    if (!grads_[i].defined()) continue;
    if (slots_[i].host) any_host = true;
    else on_device.push_back(i);
  }
  if (any_host) step_host();
  if (!on_device.empty()) step_device(on_device, found_inf);
  for (auto& g : grads_) g.reset();
}

void Adam::step_host() {
  // Counters first: the pieces of one parameter share them. Most parameters share one t.
  double known_t = -1;
  host::AdamScalars known{};
  int64_t numbers = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& s = slots_[i];
    Pointers& p = pointers_[i];
    p.grad = s.host && grads_[i].defined() ? grads_[i].const_data_ptr() : nullptr;
    if (!p.grad) continue;
    numbers += s.w.numel();
    float* counter = s.step.mutable_data_ptr<float>();
    *counter += 1;
    if (const double t = static_cast<double>(*counter); t != known_t) {
      known = adam_scalars(lr_, options_.beta1, options_.beta2, options_.eps, options_.weight_decay, options_.decoupled, t);
      known.grad_factor = grad_factor_;
      known.cautious = options_.cautious;
      known_t = t;
    }
    p.scalars = known;
    p.w = s.w.mutable_data_ptr();
    p.m = s.m.mutable_data_ptr();
    p.v = s.v.mutable_data_ptr();
    p.vmax = s.vmax.defined() ? s.vmax.mutable_data_ptr() : nullptr;
  }
  pieces_.each(numbers, [&](size_t slot, int64_t begin, int64_t end) {
    const Pointers& p = pointers_[slot];
    if (!p.grad) return;
    const auto f = slots_[slot].w.scalar_type() == at::kFloat ? adam_piece<float> : adam_piece<double>;
    f(p.scalars, p.grad, p.w, p.m, p.v, p.vmax, begin, end);
  });
}

void Adam::step_device(const std::vector<size_t>& slots, const at::Tensor& found_inf) {
  std::map<std::pair<int, int>, std::vector<size_t>> groups;
  for (const size_t i : slots) {
    const at::Tensor& w = slots_[i].w;
    groups[{w.device().index() + 256 * static_cast<int>(w.device().type()), static_cast<int>(w.scalar_type())}].push_back(i);
  }
  for (const auto& [key, members] : groups) {
    std::vector<at::Tensor> w, g, m, v, vmax, steps;
    for (const size_t i : members) {
      const Slot& s = slots_[i];
      w.push_back(s.w);
      g.push_back(grad_factor_ == 1 ? grads_[i] : grads_[i] * grad_factor_);
      m.push_back(s.m);
      v.push_back(s.v);
      if (options_.amsgrad) vmax.push_back(s.vmax);
      steps.push_back(s.step);
    }
    const std::optional<at::Tensor> none;
    const std::optional<at::Tensor> found = found_inf.defined() ? std::optional<at::Tensor>(found_inf.to(w[0].device())) : none;
    at::_foreach_add_(steps, 1);
    const bool cautious = options_.cautious && options_.weight_decay != 0;
    const double decay = cautious ? 0 : options_.weight_decay;
    std::vector<at::Tensor> before;
    if (cautious)
      for (const auto& x : w) before.push_back(x.clone());
    if (options_.decoupled)
      at::_fused_adamw_(w, g, m, v, vmax, steps, lr_, options_.beta1, options_.beta2, decay, options_.eps,
                        options_.amsgrad, false, none, found);
    else
      at::_fused_adam_(w, g, m, v, vmax, steps, lr_, options_.beta1, options_.beta2, options_.weight_decay, options_.eps,
                       options_.amsgrad, false, none, found);
    for (size_t i = 0; i < before.size(); ++i) {
      at::Tensor part = before[i] * (before[i] * m[i]).ge(0) * (lr_ * options_.weight_decay);
      if (found) part = at::where(found->eq(1), at::zeros_like(part), part);
      w[i].sub_(part);
    }
    if (found) at::_foreach_sub_(steps, std::vector<at::Tensor>(steps.size(), *found));
  }
}

std::vector<GroupInfo> Adam::groups() const {
  GroupInfo g{options_.decoupled ? "adamw" : "adam", options_.lr, options_.weight_decay, {}};
  for (const auto& p : params_) g.params.push_back(p.name);
  return {g};
}

void Adam::set_lrs(std::span<const double> lrs) {
  assert(lrs.size() == 1);
  lr_ = lrs[0];
}

NamedTensors Adam::state() const {
  NamedTensors out;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const std::string prefix = params_[i].name + "/";
    out.emplace_back(prefix + "step", slots_[i].step);
    out.emplace_back(prefix + "exp_avg", slots_[i].m);
    out.emplace_back(prefix + "exp_avg_sq", slots_[i].v);
    if (options_.amsgrad) out.emplace_back(prefix + "max_exp_avg_sq", slots_[i].vmax);
  }
  return out;
}

std::string Adam::summary() const {
  return fmt::format("{} {} tensors, lr {}, betas {} {}, eps {}, weight decay {}{}{}", options_.decoupled ? "AdamW" : "Adam", params_.size(),
                     options_.lr, options_.beta1, options_.beta2, options_.eps, options_.weight_decay, options_.cautious ? " (cautious)" : "",
                     options_.amsgrad ? ", amsgrad" : "");
}

}  // namespace ups::optim
