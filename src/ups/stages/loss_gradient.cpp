#include "ups/stages/loss_gradient.h"

#include <torch/csrc/autograd/autograd.h>

namespace ups::stages {

at::Tensor loss_gradient(const at::Tensor& loss, const at::Tensor& at) {
  return torch::autograd::grad({loss}, {at}, {}, /*retain_graph=*/true).front().detach();
}

}  // namespace ups::stages
