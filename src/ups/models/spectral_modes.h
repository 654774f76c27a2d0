// Parts of fused Fourier layers without autograd: each mode's matrix product, and the way a context keeps DFT matrices.
#pragma once
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/real_dft.h"

namespace ups::models::fused {

// Fields are [N, B D] here, spectra [2 K, B D] = [K, (re, im), B, D], spectral [K, D, 2 D] = Re | Im of each mode's matrix.
at::Tensor mix_modes(const at::Tensor& spectrum, const at::Tensor& spectral);

struct SpectralGrads {
  at::Tensor input, spectral;
};
SpectralGrads mix_modes_backward(const at::Tensor& g, const at::Tensor& spectrum, const at::Tensor& spectral);

void keep_dft(torch::autograd::AutogradContext* ctx, const RealDft& dft);
const RealDft& kept_dft(torch::autograd::AutogradContext* ctx);

}  // namespace ups::models::fused
