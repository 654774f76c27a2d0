// Fourier layers fused by hand for the CPU (see fused_ops.h: fp32, outside autocast; the plain ATen twins are their callers').
// x [N, B, D], position-major; spectral [K, D, 2 D] = Re | Im of each mode's matrix.
#pragma once
#include "ups/models/real_dft.h"

namespace ups::models::fused {

// synthesis * (W_k * (analysis * x)).
at::Tensor spectral_conv1d(const at::Tensor& x, const at::Tensor& spectral, const RealDft& dft);
// spectral_conv1d(x) + x W^T + b, and the GELU of it when activate is set; W [D, D].
at::Tensor fourier_layer1d(const at::Tensor& x, const at::Tensor& spectral, const RealDft& dft, const at::Tensor& weight, const at::Tensor& bias,
                           bool activate);
// gelu(x W1^T + b1) W2^T + b2 over the last axis.
at::Tensor gelu_mlp(const at::Tensor& x, const at::Tensor& w1, const at::Tensor& b1, const at::Tensor& w2, const at::Tensor& b2);

}  // namespace ups::models::fused
