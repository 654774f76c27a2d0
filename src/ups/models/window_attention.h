// Shifted-window self-attention with q/k normalisation, learnable logit scale and continuous relative position bias
// (Swin V2; PDE-Transformer arXiv 2505.24717).
#pragma once
#include "ups/models/layers.h"

namespace ups::models {

class WindowAttention : public Module {
 public:
  // window: tokens per axis (each axis uses the largest divisor of its size up to this). shifted: windows are moved by half a
  // window; on axes that are not periodic tokens from the two ends never attend to each other.
  WindowAttention(int64_t dim, int64_t heads, TokenGrid grid, int64_t window, bool shifted, uint64_t seed, const std::string& key);
  Tensor operator()(const Tensor& x) const;  // [N, B, D] -> [N, B, D]

 private:
  Tensor bias_table() const;  // [heads, W, W], W = tokens per window

  TokenGrid grid_;
  int64_t heads_, head_dim_;
  std::vector<int64_t> window_, shift_;
  Linear qkv_, out_, bias_in_, bias_out_;
  Tensor logit_scale_;       // [heads], clamped at log 100
  Tensor offsets_;           // [R, axes] log-spaced relative offsets
  Tensor offset_index_;      // [W * W] row of offsets_ for each pair
  Tensor mask_;              // [windows, W, W] 0 or -inf; undefined when nothing is cut
};

}  // namespace ups::models
