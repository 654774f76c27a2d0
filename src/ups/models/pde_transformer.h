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
#include "ups/models/transport.h"
#include "ups/models/window_attention.h"

namespace ups::models {

struct PdeTransformerConfig {
  int64_t in_channels = 1, out_channels = 1;
  std::vector<int64_t> grid;      // cells per axis, 1 or 2 axes
  std::vector<bool> periodic;     // per axis
  int64_t patch = 4;              // cells per token and axis
  int64_t hidden = 48;
  std::vector<int64_t> depths{2, 2};  // blocks per level down to the bottleneck, mirrored upwards
  int64_t heads = 4, window = 8;
  double mlp_ratio = 2;           // 0 = no MLP
  bool normalise = false;         // LayerNorm before mixing and MLP
  enum class Mixing { none, conv3, spectral } local_mixing = Mixing::spectral;
  int64_t modes = 32;             // spectral modes per axis
  bool transport = false;         // lookups at learned displacements
  bool linear_path = false;       // a Fourier multiplier from input to output, every mode of its own; needs in_channels == out_channels
  bool attention_everywhere = false;  // false: with local mixing the finest level has none
  bool separate_channels = false; // one token sequence per channel, attention across channels after each level's first block
  int64_t parameters = 0;         // PDE parameters in the condition
  int64_t boundary_kinds = 0;     // width of the boundary encoding, 0 = not conditioned
  bool condition_dt = true;
  bool condition_tau = false;     // flow models: tau and step
  uint64_t seed = 17;

  bool conditioned() const { return condition_dt || condition_tau || parameters > 0 || boundary_kinds > 0; }
};

class PdeTransformer : public FieldModel {
 public:
  explicit PdeTransformer(PdeTransformerConfig config);
  ~PdeTransformer() override;
  Tensor forward(const Tensor& x, const Condition& condition) override;
  const PdeTransformerConfig& config() const { return config_; }

 private:
  struct Level;
  struct Block;
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
