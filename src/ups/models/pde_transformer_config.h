// Sizes and switches of a PdeTransformer (pde_transformer.h).
#pragma once
#include <cstdint>
#include <vector>

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

}  // namespace ups::models
