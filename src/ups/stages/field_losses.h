// Terms of losses on fields [B, C, X(, Y)], one value per sample [B], fp32.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::stages {

// Mean over channels of sqrt(mse / (variance over space + 0.01)): the VRMSE of The Well with its floor at normalised scale.
at::Tensor variance_scaled_error(const at::Tensor& p, const at::Tensor& y);
// Mean absolute error of the differences between neighbouring cells, summed over the axes.
at::Tensor gradient_error(const at::Tensor& p, const at::Tensor& y);
// Mean over channels and wavenumber bins of |log10 E_p - log10 E_y|, mean over the axes; energies below 1e-6 of the largest do not count.
at::Tensor log_spectrum_error(const at::Tensor& p, const at::Tensor& y);

}  // namespace ups::stages
