#include "ups/models/reference/block.h"

#include <ATen/ATen.h>

#include <cassert>
#include <cmath>

namespace ups::models::reference {

GroupAttention::GroupAttention(const BlockConfig& config, const InitKey& key)
    : q_proj(config.group_size, config.group_size, key / "q_proj"),
      k_proj(config.group_size, config.group_size, key / "k_proj"),
      v_proj(config.group_size, config.group_size, key / "v_proj"),
      out_proj(config.group_size, config.group_size, key / "out_proj"),
      q_norm(config.group_size),
      k_norm(config.group_size),
      group_size_(config.group_size),
      num_heads_(config.num_heads) {
  add_child("q_proj", q_proj);
  add_child("k_proj", k_proj);
  add_child("v_proj", v_proj);
  add_child("out_proj", out_proj);
  add_child("q_norm", q_norm);
  add_child("k_norm", k_norm);
}

Tensor GroupAttention::operator()(const Tensor& x) const {
  const int64_t batch = x.size(0), tokens = x.size(1), groups = x.size(2) / group_size_, head_dim = group_size_ / num_heads_;
  const Tensor y = x.reshape({batch, tokens, groups, group_size_});
  // [B,T,groups,G] -> [B,groups,heads,T,head_dim]
  const auto heads = [&](const Tensor& t) {
    return t.reshape({batch, tokens, groups, num_heads_, head_dim}).permute({0, 2, 3, 1, 4});
  };
  // The norms act before the projections; v has none.
  const Tensor q = heads(q_proj(q_norm(y))), k = heads(k_proj(k_norm(y))), v = heads(v_proj(y));
  const Tensor weights = at::softmax(at::matmul(q, k.transpose(-2, -1)) / std::sqrt(static_cast<double>(head_dim)), -1);
  const Tensor mixed = at::matmul(weights, v).permute({0, 3, 1, 2, 4}).reshape({batch, tokens, groups, group_size_});
  return out_proj(mixed).reshape({batch, tokens, groups * group_size_});
}

Block::Block(const BlockConfig& config, const InitKey& key)
    : attn_norm(config.hidden_dim),
      attn(config, key / "attn"),
      ff_norm(config.hidden_dim),
      ff_in(config.hidden_dim, config.mlp_dim(), key / "ff.net.1"),
      ff_out(config.mlp_dim(), config.hidden_dim, key / "ff.net.4"),
      config_(config) {
  add_child("attn_norm", attn_norm);
  add_child("attn", attn);
  add_child("ff.net.0", ff_norm);
  add_child("ff.net.1", ff_in);
  add_child("ff.net.4", ff_out);
}

Tensor Block::attention(const Tensor& x) const { return attn(attn_norm(x)); }

Tensor Block::feed_forward(const Tensor& x) const { return ff_out(at::gelu(ff_in(ff_norm(x)))); }

Tensor Block::plain(const Tensor& x) const {
  const Tensor y = x + attention(x);
  return y + feed_forward(y);
}

}  // namespace ups::models::reference
