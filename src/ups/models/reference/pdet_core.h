// The token U-Net of the reference operator (golden README 4): blocks, pair averaging down, linear interpolation up, skips.
#pragma once
#include <functional>
#include <memory>

#include "ups/models/reference/block.h"

namespace ups::models::reference {

struct PdetCoreConfig {
  int64_t latent_dim = 16;  // D, features in and out
  BlockConfig block;
  std::vector<int64_t> depths{1, 1, 1};  // blocks per level, the last entry is the bottleneck; entries may be 0
};

// Sees the intermediate activations by their golden names ("down0_skip", "bottleneck_out", ..), for tests.
using Probe = std::function<void(const std::string&, const Tensor&)>;

class PdetCore : public Module {
 public:
  PdetCore(const PdetCoreConfig& config, const InitKey& key);
  Tensor operator()(const Tensor& u, bool fused, const Probe& probe) const;  // [B,T,D] -> [B,T,D]

 private:
  using Blocks = std::vector<std::unique_ptr<Block>>;
  struct Level {
    std::unique_ptr<Linear> linear;  // after down-sampling, or on the skip
    Blocks blocks;
  };
  Blocks make_blocks(int64_t depth, const std::string& prefix, const InitKey& key);
  static Tensor run(const Blocks& blocks, Tensor x, bool fused, const Probe& probe, const std::string& level);

  PdetCoreConfig config_;
  Linear input_proj_, output_proj_;
  std::vector<Level> down_, up_;
  Blocks bottleneck_;
  LayerNorm final_norm_;
};

// T -> ceil(T/2): averages of pairs; an odd last token is repeated; one token stays. x [B,T,H].
Tensor average_pairs(const Tensor& x);
// Linear interpolation over tokens with half-pixel centres. x [B,n,H] -> [B,tokens,H].
Tensor interpolate_tokens(const Tensor& x, int64_t tokens);

}  // namespace ups::models::reference
