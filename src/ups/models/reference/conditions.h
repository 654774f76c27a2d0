// Named condition tensors of one batch, [B, features] each. The order matters for the corrector and the steady prior.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace ups::models::reference {

using Conditions = std::vector<std::pair<std::string, at::Tensor>>;

}  // namespace ups::models::reference
