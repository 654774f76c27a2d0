// What an update did to each group, for logs: measured beside what the rule aims at. Nothing is read on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include <vector>

#include "ups/optim/optimizer.h"

namespace ups::optim {

class UpdateStats {
 public:
  explicit UpdateStats(const Optimizer& optimizer);
  // Between the gradient pass and clipping: gradient norms and a copy of the weights. pending: as in GradPass.
  void before(double pending);
  // After the step. fp64 [groups, kCount] on the parameters' device, in the order of Optimizer::groups():
  //   2-norm of the gradients before clipping, RMS of the weights, RMS of their change in this step (decay included).
  at::Tensor after();
  static constexpr int64_t kCount = 3;

 private:
  std::vector<std::vector<at::Tensor>> weights_, copies_;  // by group; real views
  std::vector<ParamList> params_;
  std::vector<at::Tensor> grad_norms_;
  std::vector<double> numbers_;
};

}  // namespace ups::optim
