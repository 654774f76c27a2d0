// Networks that judge an autoencoder.
#pragma once
#include <memory>
#include <vector>

#include "ups/models/grid_conv.h"
#include "ups/models/layers.h"

namespace ups::models {

// Judges patches of a field as real or reconstructed: 3-tap convolutions of stride 2 with spectral normalisation (weights over their
// largest singular value, by one power iteration per call) and LeakyReLU of slope 0.2, then a 1-tap head. PatchGAN (arXiv 1611.07004)
// with 1802.05957.
class PatchDiscriminator : public Module {
 public:
  PatchDiscriminator(int64_t channels, const std::vector<bool>& periodic, std::vector<int64_t> widths, uint64_t seed);
  // [B, C, X..] -> logits [B, patches]. `iterate` advances the power iterations.
  Tensor operator()(const Tensor& x, bool iterate);

 private:
  Tensor normalised(size_t layer, bool iterate);
  std::vector<std::unique_ptr<GridConv>> layers_;
  std::vector<Tensor> left_;  // [out] left singular vector of every kernel as [out, in taps..]
};

// Tells latents of the data from latents whose channels were shuffled over the batch, which are independent: its log ratio estimates the
// total correlation (FactorVAE, arXiv 1802.05983). One vector of latent_dim numbers at a time.
class TotalCorrelationDiscriminator : public Module {
 public:
  TotalCorrelationDiscriminator(int64_t latent_dim, int64_t width, uint64_t seed);
  Tensor operator()(const Tensor& z) const;  // [N, latent_dim] -> [N] logit of "joint"

 private:
  Linear first_, second_, last_;
};

}  // namespace ups::models
