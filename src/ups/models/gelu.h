// Exact (erf) GELU. On the CPU in fp32 one pass gives value and derivative; elsewhere at::gelu, the oracle.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::models::fused {

// x Phi(x), any shape. Absolute error of value and derivative below 3e-7 max(1, |x|).
at::Tensor gelu(const at::Tensor& x);

}  // namespace ups::models::fused
