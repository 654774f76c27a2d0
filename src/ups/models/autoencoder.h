// Autoencoder of fields on grids of one or two axes, deterministic or variational.
//
//   encoder: 3-tap stem, per level [2(x2) cells become channels, 3-tap convolution, residual blocks], 1-tap head to latent_dim,
//            soft clip z / sqrt(1 + (z / 5)^2)
//   decoder: the mirror image; grid decoder 3-tap head, point decoder an MLP on features interpolated from half the resolution
//   residual block: x + conv(SiLU(conv(LayerNorm over channels(x)))), its last convolution starting near zero
// Convolutions between levels start as the identity, so that a latent with as many numbers as the field starts near lossless.
// After DC-AE (arXiv 2410.10733) and Lost in Latent Space (2507.02608); point decoder after LIIF (2012.09161).
#pragma once
#include <memory>

#include "ups/models/grid_conv.h"

namespace ups::models {

struct AutoencoderConfig {
  int64_t channels = 1;
  std::vector<int64_t> grid;    // cells per axis, multiples of 2^levels
  std::vector<bool> periodic;   // per axis
  std::vector<int64_t> widths;  // channels from the finest level to the latent's, at least 2 entries; levels = entries - 1
  int64_t blocks = 2;           // residual blocks per level
  int64_t latent_dim = 8;
  bool variational = false;
  uint64_t seed = 17;
};

class FieldAutoencoder : public Module {
 public:
  explicit FieldAutoencoder(AutoencoderConfig config);
  ~FieldAutoencoder() override;

  // Latents before whitening. log_variance is undefined unless variational.
  struct Moments {
    Tensor mean, log_variance;  // [B, latent_dim, latent grid..], mean soft-clipped, log_variance in [-10, 5]
  };
  struct Decoded {
    Tensor field;     // [B, C, X..]
    Tensor features;  // of the level below the finest, for points()
  };
  Moments moments(const Tensor& x) const;
  Decoded decode_raw(const Tensor& z) const;
  // Values at positions [B, Q, axes] in cells (cell i is at i) of the field's grid: [B, Q, C].
  Tensor points(const Tensor& features, const Tensor& positions) const;

  // What later stages see: latents with mean 0 and variance 1 per channel over the training data, and back.
  Tensor encode(const Tensor& x) const;  // [B, C, X..] -> [B, latent_dim, latent grid..]
  Tensor decode(const Tensor& z) const;
  // Takes the statistics of raw latents [B, latent_dim, ..] into the running ones of encode() and decode(); values that are not finite
  // change nothing. In place, without host reads.
  void observe(const Tensor& z);

  std::vector<int64_t> latent_grid() const;
  const AutoencoderConfig& config() const { return config_; }

 private:
  struct Block;
  struct Level;
  struct PointHead;
  AutoencoderConfig config_;
  std::unique_ptr<GridConv> stem_, to_latent_, to_variance_, from_latent_, head_;
  std::vector<std::unique_ptr<Level>> down_, up_;
  std::unique_ptr<PointHead> point_head_;
  Tensor latent_mean_, latent_square_, seen_;  // running first and second moments, and how many batches went in
};

}  // namespace ups::models
