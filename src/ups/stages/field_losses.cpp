#include "ups/stages/field_losses.h"

#include <ATen/ATen.h>

namespace ups::stages {

at::Tensor variance_scaled_error(const at::Tensor& p, const at::Tensor& y) {
  const at::Tensor variance = y.flatten(2).var(2, false), mse = (p - y).flatten(2).square().mean(2);
  return at::sqrt(mse / (variance + 1e-2) + 1e-12).mean(1);
}

at::Tensor gradient_error(const at::Tensor& p, const at::Tensor& y) {
  const at::Tensor e = p - y;
  at::Tensor sum;
  for (int64_t axis = 2; axis < e.dim(); ++axis) {
    const at::Tensor d = at::diff(e, 1, axis).abs().flatten(1).mean(1);
    sum = sum.defined() ? sum + d : d;
  }
  return sum;
}

at::Tensor log_spectrum_error(const at::Tensor& p, const at::Tensor& y) {
  at::Tensor sum;
  for (int64_t axis = 2; axis < p.dim(); ++axis) {
    const auto energy = [axis](const at::Tensor& f) {  // [B, C, bins]
      return at::fft_rfft(f.to(at::kFloat), c10::nullopt, axis).abs().square().transpose(axis, -1).reshape({f.size(0), f.size(1), -1, f.size(axis) / 2 + 1}).mean(2);
    };
    const at::Tensor ey = energy(y), floor = 1e-6 * ey.amax(-1, true);
    const at::Tensor e = (at::log10(energy(p) + floor) - at::log10(ey + floor)).abs().flatten(1).mean(1);
    sum = sum.defined() ? sum + e : e;
  }
  return sum / static_cast<double>(p.dim() - 2);
}

}  // namespace ups::stages
