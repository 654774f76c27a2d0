#include "ups/models/local_mixing.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numbers>

#include "ups/models/autocast.h"
#include "ups/models/fused_ops.h"
#include "ups/models/fused_spectral.h"

namespace ups::models {
namespace {

// x(i + 1) for step = 1, x(i - 1) for step = -1, along dim.
Tensor shifted(const Tensor& x, int64_t dim, int64_t step, bool periodic) {
  if (periodic) return at::roll(x, {-step}, {dim});
  const int64_t n = x.size(dim);
  if (step > 0) return at::cat({x.narrow(dim, 1, n - 1), x.narrow(dim, n - 1, 1)}, dim);
  return at::cat({x.narrow(dim, 0, 1), x.narrow(dim, 0, n - 1)}, dim);
}

double padded_period(int64_t n, bool periodic) { return periodic ? static_cast<double>(n) : std::ceil(1.25 * static_cast<double>(n)); }

}  // namespace

TokenConv::TokenConv(int64_t dim, TokenGrid grid, uint64_t seed, const std::string& key) : grid_(std::move(grid)) {
  const int64_t taps = grid_.size.size() == 1 ? 3 : 5;
  const double bound = 1.0 / std::sqrt(static_cast<double>(taps * dim));
  weight_ = add_parameter("weight", uniform_init({dim, taps * dim}, bound, seed, key + ".weight"));
  bias_ = add_parameter("bias", uniform_init({dim}, bound, seed, key + ".bias"));
}

Tensor TokenConv::operator()(const Tensor& x) const {
  if (grid_.size.size() == 1) {
    if (fused::enabled(x)) return fused::token_conv3(x, weight_, bias_, grid_.periodic[0]);
    return at::linear(at::cat({shifted(x, 0, -1, grid_.periodic[0]), x, shifted(x, 0, 1, grid_.periodic[0])}, -1), weight_, bias_);
  }
  const Tensor g = x.view({grid_.size[0], grid_.size[1], x.size(1), x.size(2)});
  const Tensor taps = at::cat({shifted(g, 0, -1, grid_.periodic[0]), shifted(g, 1, -1, grid_.periodic[1]), g,
                               shifted(g, 1, 1, grid_.periodic[1]), shifted(g, 0, 1, grid_.periodic[0])},
                              -1);
  return at::linear(taps, weight_, bias_).view(x.sizes());
}

void TokenConv::lend(fused::MixingBranches& branches) const {
  branches.grid = grid_;
  branches.conv_weight = weight_;
  branches.conv_bias = bias_;
}

SpectralConv::SpectralConv(int64_t dim, TokenGrid grid, int64_t modes, uint64_t seed, const std::string& key, double gain, Role role)
    : grid_(std::move(grid)) {
  const size_t axes = grid_.size.size();
  const int64_t n = grid_.size[axes - 1];
  const int64_t my = std::max<int64_t>(1, std::min(modes, n / 2));
  const double period = padded_period(n, grid_.periodic[axes - 1]);
  // Rows (k, re/im): X_re = sum_j cos x_j, X_im = -sum_j sin x_j, orthonormal scaling 1/sqrt(period) on both sides.
  Tensor a = at::empty({2 * my, n}, at::kDouble);
  Tensor s = at::empty({n, 2 * my}, at::kDouble);
  auto a_at = a.accessor<double, 2>(), s_at = s.accessor<double, 2>();
  for (int64_t k = 0; k < my; ++k) {
    for (int64_t j = 0; j < n; ++j) {
      const double angle = 2.0 * std::numbers::pi * static_cast<double>(k * j) / period, scale = 1.0 / std::sqrt(period);
      const double twice = k == 0 ? 1.0 : 2.0;  // one-sided spectrum of a real field
      a_at[2 * k][j] = scale * std::cos(angle);
      a_at[2 * k + 1][j] = -scale * std::sin(angle);
      s_at[j][2 * k] = twice * scale * std::cos(angle);
      s_at[j][2 * k + 1] = -twice * scale * std::sin(angle);
    }
  }
  analysis_y_ = add_buffer("analysis_y", a.to(at::kFloat));
  synthesis_y_ = add_buffer("synthesis_y", s.to(at::kFloat));
  int64_t total = my;
  if (axes == 1) {
    dft_ = {analysis_y_, synthesis_y_, {}, {}};
    if (grid_.periodic[0]) {
      dft_.folded_analysis = fused::FoldedDft(analysis_y_);
      dft_.folded_synthesis = fused::FoldedDft(synthesis_y_.t());
    }
  } else {
    const int64_t h = grid_.size[0], mx = std::max<int64_t>(1, std::min(modes, h / 2)), kx = h == 1 ? 1 : 2 * mx;
    const double px = padded_period(h, grid_.periodic[0]), scale = 1.0 / std::sqrt(px);
    Tensor c = at::empty({kx, h}, at::kDouble), sn = at::empty({kx, h}, at::kDouble);
    for (int64_t i = 0; i < kx; ++i) {
      const int64_t k = i < mx ? i : i - kx;
      for (int64_t j = 0; j < h; ++j) {
        const double angle = 2.0 * std::numbers::pi * static_cast<double>(k * j) / px;
        c[i][j] = scale * std::cos(angle);
        sn[i][j] = scale * std::sin(angle);
      }
    }
    // (re + i im) e^{-i a}: re' = c re + s im, im' = c im - s re; the inverse has the transposed matrix.
    const Tensor forward = at::cat({at::cat({c, sn}, 1), at::cat({-sn, c}, 1)}, 0);
    analysis_x_ = add_buffer("analysis_x", forward.to(at::kFloat));
    synthesis_x_ = add_buffer("synthesis_x", forward.t().contiguous().to(at::kFloat));
    total = kx * my;
  }
  const double std_dev = gain * 0.5 / std::sqrt(static_cast<double>(2 * dim));
  weight_ = add_parameter("weight", normal_init({total, dim, 2 * dim}, std_dev, seed, key + ".weight"), role);
}

Tensor SpectralConv::mix(const Tensor& spectrum, int64_t batch) const {
  const int64_t k = weight_.size(0), d = weight_.size(1);
  // [K, 2 B, D] x [K, D, 2 D]: rows (re, im) times columns (Re W, Im W).
  const Tensor p = at::bmm(spectrum.reshape({k, 2 * batch, d}), weight_).view({k, 2, batch, 2, d});
  const Tensor re = p.select(1, 0), im = p.select(1, 1);
  return at::stack({re.select(2, 0) - im.select(2, 1), re.select(2, 1) + im.select(2, 0)}, 1);
}

Tensor SpectralConv::operator()(const Tensor& input) const {
  // Spectra are summed over many points: always in the precision of the weights.
  const AutocastGuard full_precision(input.device().type(), false, at::kFloat);
  const Tensor x = input.to(weight_.scalar_type());
  const int64_t batch = x.size(1), d = x.size(2), bd = batch * d;
  if (grid_.size.size() == 1) {
    if (fused::enabled(x)) return fused::spectral_conv1d(x, weight_, dft_);
    const Tensor spectrum = at::mm(analysis_y_, x.reshape({x.size(0), bd}));
    return at::mm(synthesis_y_, mix(spectrum, batch).reshape({-1, bd})).view(x.sizes());
  }
  const int64_t h = grid_.size[0], w = grid_.size[1], my = analysis_y_.size(0) / 2, kx = analysis_x_.size(0) / 2;
  // Last axis: [H, 2 my, B D]; then both parts stacked along the first axis: [2 H, my B D].
  const Tensor along_y = at::matmul(analysis_y_, x.reshape({h, w, bd})).view({h, my, 2, bd});
  const Tensor stacked = along_y.permute({2, 0, 1, 3}).reshape({2 * h, my * bd});
  const Tensor spectrum = at::mm(analysis_x_, stacked).view({2, kx * my, batch, d}).transpose(0, 1);  // [K, 2, B, D]
  const Tensor mixed = mix(spectrum, batch).transpose(0, 1).reshape({2 * kx, my * bd});
  const Tensor back = at::mm(synthesis_x_, mixed).view({2, h, my, bd}).permute({1, 2, 0, 3}).reshape({h, 2 * my, bd});
  return at::matmul(synthesis_y_, back).view(x.sizes());
}

void SpectralConv::lend(fused::MixingBranches& branches) const {
  branches.spectral = weight_;
  branches.dft = &dft_;
}

Tensor SpectralConv::layer(const Tensor& x, const Linear& pointwise, bool activate) const {
  if (grid_.size.size() == 1 && fused::enabled(x))
    return fused::fourier_layer1d(x, weight_, dft_, pointwise.weight, pointwise.bias, activate);
  const Tensor y = (*this)(x) + pointwise(x);
  return activate ? at::gelu(y) : y;
}

}  // namespace ups::models
