// Operations fused by hand for the CPU, each with a plain ATen twin that is the oracle. set_enabled(false) selects the twins.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::models::fused {

// Process-wide switch (tests compare both paths). Default on.
void set_enabled(bool on);
// Fused paths serve fp32 CPU tensors outside autocast.
bool enabled(const at::Tensor& x);

inline constexpr double kNormEps = 1e-5;
// LN(x) * (1 + scale) + shift over the last axis, eps kNormEps; x [N, B, D], shift and scale [B, D].
at::Tensor modulated_norm(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale);
// x * (1 + scale) + shift, the same without the normalisation.
at::Tensor modulated(const at::Tensor& x, const at::Tensor& shift, const at::Tensor& scale);
// x + gate * y; x, y [N, B, D], gate [B, D].
at::Tensor gated_add(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y);
// Three-tap convolution along the first axis; x [N, B, D], weight [D', 3 D] for the taps at -1, 0, +1.
at::Tensor token_conv3(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias, bool periodic);
}  // namespace ups::models::fused
