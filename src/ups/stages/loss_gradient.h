// Gradient of a loss at an inner tensor of its graph, without touching the parameters' gradients.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::stages {

// d loss / d at, detached; the graph stays usable.
at::Tensor loss_gradient(const at::Tensor& loss, const at::Tensor& at);

}  // namespace ups::stages
