#include "ups/optim/update_stats.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <map>
#include <string>

#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

at::Tensor norm_of(const std::vector<at::Tensor>& list, const at::Device& device) {
  if (list.empty()) return at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device));
  return at::linalg_vector_norm(at::stack(at::_foreach_norm(list, 2, at::kDouble)));
}

}  // namespace

UpdateStats::UpdateStats(const Optimizer& optimizer) {
  std::map<std::string, Param> by_name;
  for (const auto& p : optimizer.params()) by_name.emplace(p.name, p);
  for (const auto& group : optimizer.groups()) {
    ParamList members;
    std::vector<at::Tensor> weights;
    double numbers = 0;
    for (const auto& name : group.params) {
      const Param& p = by_name.at(name);
      if (p.tensor.numel() == 0) continue;
      members.push_back(p);
      weights.push_back(real_view(p.tensor.detach()));
      numbers += static_cast<double>(weights.back().numel());
    }
    params_.push_back(std::move(members));
    weights_.push_back(std::move(weights));
    numbers_.push_back(numbers);
  }
}

void UpdateStats::before(double pending) {
  c10::NoGradGuard no_grad;
  grad_norms_.clear();
  copies_.clear();
  for (size_t g = 0; g < weights_.size(); ++g) {
    std::vector<at::Tensor> grads, copies;
    for (const auto& p : params_[g])
      if (p.tensor.grad().defined()) grads.push_back(real_view(p.tensor.grad()));
    for (const auto& w : weights_[g]) copies.push_back(w.clone());
    const at::Device device = weights_[g].empty() ? at::Device(at::kCPU) : weights_[g][0].device();
    grad_norms_.push_back(norm_of(grads, device) * pending);
    copies_.push_back(std::move(copies));
  }
}

at::Tensor UpdateStats::after() {
  c10::NoGradGuard no_grad;
  std::vector<at::Tensor> rows;
  for (size_t g = 0; g < weights_.size(); ++g) {
    const double root = std::sqrt(std::max(1.0, numbers_[g]));
    const at::Device device = grad_norms_[g].device();
    if (!copies_[g].empty()) at::_foreach_sub_(copies_[g], weights_[g]);
    rows.push_back(at::stack({grad_norms_[g], norm_of(weights_[g], device) / root, norm_of(copies_[g], device) / root}));
  }
  copies_.clear();
  return at::stack(rows);
}

}  // namespace ups::optim
