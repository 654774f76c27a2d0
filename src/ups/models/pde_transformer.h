// PDE-Transformer on fields: patch embedding, U-shape of blocks, zero-initialised head (arXiv 2505.24717, with local mixing added).
//
//   tokens = embed(patches of x)                                     [N, B, D]
//   per level: blocks; down = merge 2 (x2) neighbours; mirrored way up with skips
//   + a Fourier multiplier of the input, if asked for: the linear part of the propagator, exact where coefficients are constant
//   block:  x += gate1 * mix(modulate(norm(x))),  x += gate2 * mlp(modulate(norm(x)))     (AdaLN-Zero on the condition)
//   mix  =  window attention + 3-tap convolution + spectral convolution + transport, whichever the level has
// Without normalisation (default beside spectral mixing) the mixed tokens pass a GELU, and gates start at 1 instead of 0: LayerNorm
// removes the local amplitude that u u_x needs. Burgers nu .01, 60 CPU-s, rollout nRMSE: LN .036, none .0042 (gates from 0: .0095).
#pragma once
#include <memory>

#include "ups/models/conditioning.h"
#include "ups/models/field_model.h"
#include "ups/models/local_mixing.h"
#include "ups/models/pde_transformer_config.h"

namespace ups::models {

class PdeTransformer : public FieldModel {
 public:
  explicit PdeTransformer(PdeTransformerConfig config);
  ~PdeTransformer() override;
  Tensor forward(const Tensor& x, const Condition& condition) override;
  const PdeTransformerConfig& config() const { return config_; }

 private:
  struct Level;
  Tensor embed(const Tensor& x) const;                      // [B, Cin, X..] -> [N, B', D]
  Tensor unembed(const Tensor& tokens, int64_t batch) const;  // [N, B', p^a C] -> [B, Cout, X..]

  PdeTransformerConfig config_;
  std::vector<int64_t> padded_;   // grid after padding to whole patches and windows
  TokenGrid tokens_;              // finest level
  int64_t sequences_ = 1;         // channels per sample that become sequences of their own
  std::unique_ptr<ConditionEmbedding> condition_;
  std::unique_ptr<Linear> embed_, head_in_, head_out_;
  Tensor channel_embedding_;      // [sequences, D]
  std::unique_ptr<SpectralConv> linear_path_;
  Tensor coordinates_;            // [N, axes * p^a]: cell coordinates, only when an axis is not periodic
  std::vector<std::unique_ptr<Level>> levels_;
};

}  // namespace ups::models
