// Transformer block of the reference operator: channel-separated attention and a GELU MLP, both pre-norm (golden README 4).
#pragma once
#include "ups/models/reference/layers.h"

namespace ups::models::reference {

struct BlockConfig {
  int64_t hidden_dim = 96;
  int64_t group_size = 12;  // features of one attention group; divides hidden_dim
  int64_t num_heads = 6;    // per group; divides group_size
  double mlp_ratio = 2.0;
  int64_t mlp_dim() const { return static_cast<int64_t>(static_cast<double>(hidden_dim) * mlp_ratio); }  // truncated
};

// Feature c belongs to group c / G. Groups are independent batch entries that share all weights and never exchange information.
class GroupAttention : public Module {
 public:
  GroupAttention(const BlockConfig& config, const InitKey& key);
  Tensor operator()(const Tensor& x) const;  // [B,T,H] -> [B,T,H]

  Linear q_proj, k_proj, v_proj, out_proj;
  RmsNorm q_norm, k_norm;

 private:
  int64_t group_size_, num_heads_;
};

class Block : public Module {
 public:
  Block(const BlockConfig& config, const InitKey& key);
  // The attention branch before it is added, then the whole block; x [B,T,H].
  Tensor attention(const Tensor& x) const;
  Tensor feed_forward(const Tensor& x) const;
  Tensor plain(const Tensor& x) const;
  const BlockConfig& config() const { return config_; }

  LayerNorm attn_norm;
  GroupAttention attn;
  LayerNorm ff_norm;
  Linear ff_in, ff_out;

 private:
  BlockConfig config_;
};

}  // namespace ups::models::reference
