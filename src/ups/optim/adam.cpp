#include "ups/optim/adam.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>

#include <cassert>
#include <map>
#include <optional>
#include <utility>

#include "ups/optim/host_kernels.h"
#include "ups/optim/parallel.h"
#include "ups/optim/tensor_lists.h"
#include "ups/optim/updates.h"

namespace ups::optim {
namespace {

constexpr int64_t kChunk = 1 << 16;

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
    if (s.host)
      for (int64_t i = 0; i < s.w.numel(); i += kChunk) jobs_.push_back({slots_.size(), i, std::min(s.w.numel(), i + kChunk)});
    slots_.push_back(std::move(s));
  }
  grads_.resize(slots_.size());
}

void Adam::step(const at::Tensor& found_inf) {
  if (host_masked(found_inf)) return;
  c10::NoGradGuard no_grad;
  std::vector<size_t> on_device;
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
  std::vector<host::AdamScalars> scalars(slots_.size());
  double known_t = -1;
  host::AdamScalars known{};
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!slots_[i].host || !grads_[i].defined()) continue;
    float* counter = slots_[i].step.mutable_data_ptr<float>();
    *counter += 1;
    if (const double t = static_cast<double>(*counter); t != known_t) {
      known = adam_scalars(lr_, options_.beta1, options_.beta2, options_.eps, options_.weight_decay, options_.decoupled, t);
      known_t = t;
    }
    scalars[i] = known;
  }
  const auto run = [&]<class T>(const Job& job, T*) {
    const Slot& s = slots_[job.slot];
    host::adam(s.w.mutable_data_ptr<T>() + job.begin, grads_[job.slot].const_data_ptr<T>() + job.begin,
               s.m.mutable_data_ptr<T>() + job.begin, s.v.mutable_data_ptr<T>() + job.begin,
               s.vmax.defined() ? s.vmax.mutable_data_ptr<T>() + job.begin : nullptr, job.end - job.begin, scalars[job.slot]);
  };
  const auto one = [&](int64_t j, int64_t) {
    const Job& job = jobs_[static_cast<size_t>(j)];
    if (!grads_[job.slot].defined()) return;
    if (slots_[job.slot].w.scalar_type() == at::kFloat) run(job, static_cast<float*>(nullptr));
    else run(job, static_cast<double*>(nullptr));
  };
  const auto count = static_cast<int64_t>(jobs_.size());
  int64_t numbers = 0;
  for (const Job& job : jobs_) numbers += job.end - job.begin;
  if (numbers < 4 * kChunk)  // a parallel region costs more than it gains
    for (int64_t j = 0; j < count; ++j) one(j, 0);
  else
    parallel_tasks(count, one);
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
      g.push_back(grads_[i]);
      m.push_back(s.m);
      v.push_back(s.v);
      if (options_.amsgrad) vmax.push_back(s.vmax);
      steps.push_back(s.step);
    }
    const std::optional<at::Tensor> none;
    const std::optional<at::Tensor> found = found_inf.defined() ? std::optional<at::Tensor>(found_inf.to(w[0].device())) : none;
    at::_foreach_add_(steps, 1);
    if (options_.decoupled)
      at::_fused_adamw_(w, g, m, v, vmax, steps, lr_, options_.beta1, options_.beta2, options_.weight_decay, options_.eps,
                        options_.amsgrad, false, none, found);
    else
      at::_fused_adam_(w, g, m, v, vmax, steps, lr_, options_.beta1, options_.beta2, options_.weight_decay, options_.eps,
                       options_.amsgrad, false, none, found);
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
  return fmt::format("{} {} tensors, lr {}, betas {} {}, eps {}, weight decay {}{}", options_.decoupled ? "AdamW" : "Adam", params_.size(),
                     options_.lr, options_.beta1, options_.beta2, options_.eps, options_.weight_decay,
                     options_.amsgrad ? ", amsgrad" : "");
}

}  // namespace ups::optim
