// Token mixing beside attention: a 3-tap convolution per axis and a truncated Fourier convolution (as in an FNO).
#pragma once
#include "ups/models/fused_mixing.h"
#include "ups/models/layers.h"

namespace ups::models {

// Dense 3-tap convolution per axis (star stencil: 3 taps in 1-D, 5 in 2-D); neighbours wrap on periodic axes and repeat the edge
// elsewhere. y = sum_k W_k x(shifted by k) + b.
class TokenConv : public Module {
 public:
  TokenConv(int64_t dim, TokenGrid grid, uint64_t seed, const std::string& key);
  Tensor operator()(const Tensor& x) const;  // [N, B, D]
  void lend(fused::MixingBranches& branches) const;

 private:
  TokenGrid grid_;
  Tensor weight_;  // [D, taps * D]
  Tensor bias_;
};

// Initial values decide more than the recipe. FNO on Burgers nu .01, 8,510 updates, validation rollout nRMSE: .0088 with spectral
// weights that keep the variance and zero biases, .0033 with small spectral weights, .0048 with random biases, .0026 with both.
inline constexpr double kSpectralGain = 0.03;

// y = synthesis( W_k * analysis(x) ), k = 0..modes-1 per axis (2-D: -modes..modes-1 along the first axis). Written with real DFT
// matrices, so that it is three matrix products. Axes that are not periodic use a period of 1.25 N (zero padding).
class SpectralConv : public Module {
 public:
  // gain scales the initial weights; 0 gives zeros.
  SpectralConv(int64_t dim, TokenGrid grid, int64_t modes, uint64_t seed, const std::string& key, double gain = kSpectralGain,
               Role role = Role::stack);
  Tensor operator()(const Tensor& x) const;  // [N, B, D]
  // A whole layer of a Fourier neural operator: (*this)(x) + pointwise(x), then GELU when activate is set.
  Tensor layer(const Tensor& x, const Linear& pointwise, bool activate) const;
  void lend(fused::MixingBranches& branches) const;  // 1-D grids

 private:
  Tensor mix(const Tensor& spectrum, int64_t batch) const;  // [K, 2, B, D] -> same

  TokenGrid grid_;
  Tensor weight_;     // [K, D, 2 D]: real part | imaginary part of each mode's matrix
  Tensor analysis_y_, synthesis_y_;  // last axis: [2 my, W], [W, 2 my]
  fused::RealDft dft_;               // of 1-D grids: the same matrices for the fused path
  Tensor analysis_x_, synthesis_x_;  // first axis of 2-D grids: [2 kx, 2 H], [2 H, 2 kx]
};

}  // namespace ups::models
