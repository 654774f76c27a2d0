#include "ups/models/reference/pdet_core.h"

#include <ATen/ATen.h>

#include "ups/models/reference/fused_block.h"

namespace ups::models::reference {

Tensor average_pairs(const Tensor& x) {
  const int64_t tokens = x.size(1);
  if (tokens == 1) return x;
  const Tensor even = tokens % 2 ? at::cat({x, x.narrow(1, tokens - 1, 1)}, 1) : x;
  const Tensor pairs = even.reshape({x.size(0), (tokens + 1) / 2, 2, x.size(2)});
  return (pairs.select(2, 0) + pairs.select(2, 1)) * 0.5;
}

Tensor interpolate_tokens(const Tensor& x, int64_t tokens) {
  if (x.size(1) == tokens) return x;
  return at::upsample_linear1d(x.transpose(1, 2), {tokens}, /*align_corners=*/false).transpose(1, 2);
}

PdetCore::PdetCore(const PdetCoreConfig& config, const InitKey& key)
    : config_(config),
      input_proj_(config.latent_dim, config.block.hidden_dim, key / "input_proj", Role::input),
      output_proj_(config.block.hidden_dim, config.latent_dim, key / "output_proj", Role::output),
      final_norm_(config.block.hidden_dim) {
  const int64_t width = config.block.hidden_dim;
  const size_t levels = config.depths.size() - 1;
  add_child("input_proj", input_proj_);
  add_child("output_proj", output_proj_);
  for (size_t i = 0; i < levels; ++i) {
    const std::string name = "down_layers." + std::to_string(i);
    Level level;
    level.blocks = make_blocks(config.depths[i], name + ".0", key);
    level.linear = std::make_unique<Linear>(width, width, key / (name + ".1"));
    add_child(name + ".1", *level.linear);
    down_.push_back(std::move(level));
  }
  bottleneck_ = make_blocks(config.depths[levels], "bottleneck", key);
  for (size_t i = 0; i < levels; ++i) {  // coarsest first
    const std::string name = "up_layers." + std::to_string(i);
    Level level;
    level.linear = std::make_unique<Linear>(width, width, key / (name + ".0"));
    add_child(name + ".0", *level.linear);
    level.blocks = make_blocks(config.depths[levels - 1 - i], name + ".1", key);
    up_.push_back(std::move(level));
  }
  add_child("final_norm", final_norm_);
}

PdetCore::Blocks PdetCore::make_blocks(int64_t depth, const std::string& prefix, const InitKey& key) {
  Blocks blocks;
  for (int64_t j = 0; j < depth; ++j) {
    const std::string name = prefix + "." + std::to_string(j);
    blocks.push_back(std::make_unique<Block>(config_.block, key / name));
    add_child(name, *blocks.back());
  }
  return blocks;
}

Tensor PdetCore::run(const Blocks& blocks, Tensor x, bool fused, const Probe& probe, const std::string& level) {
  for (size_t j = 0; j < blocks.size(); ++j) {
    if (probe && j == 0 && !level.empty()) probe(level + "_block0_attn", blocks[j]->attention(x));
    x = fused && can_fuse(*blocks[j], x) ? fused_block(*blocks[j], x) : blocks[j]->plain(x);
  }
  return x;
}

Tensor PdetCore::operator()(const Tensor& u, bool fused, const Probe& probe) const {
  const auto see = [&](const std::string& name, const Tensor& t) {
    if (probe) probe(name, t);
  };
  Tensor x = input_proj_(u);
  see("input_proj", x);
  std::vector<Tensor> skips;
  for (size_t i = 0; i < down_.size(); ++i) {
    const std::string level = "down" + std::to_string(i);
    x = run(down_[i].blocks, x, fused, probe, level);
    see(level + "_skip", x);
    skips.push_back(x);
    x = (*down_[i].linear)(average_pairs(x));
    see(level + "_out", x);
  }
  x = run(bottleneck_, x, fused, probe, "");
  see("bottleneck_out", x);
  for (size_t i = 0; i < up_.size(); ++i) {
    const Tensor& skip = skips[skips.size() - 1 - i];
    x = interpolate_tokens(x, skip.size(1)) + (*up_[i].linear)(skip);  // the projection acts on the skip, not on x
    x = run(up_[i].blocks, x, fused, probe, "");
    see("up" + std::to_string(i) + "_out", x);
  }
  x = output_proj_(final_norm_(x));
  see("core_out", x);
  return x;
}

}  // namespace ups::models::reference
