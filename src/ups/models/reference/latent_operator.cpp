#include "ups/models/reference/latent_operator.h"

#include <ATen/ATen.h>

#include "ups/core/error.h"

namespace ups::models::reference {

namespace {
PdetCoreConfig core_config(const LatentOperatorConfig& c) {
  if (c.depths.empty()) throw usage_error("operator.pdet.depths", "is empty", "give one number of blocks per level");
  if (c.group_size < 1 || c.hidden_dim % c.group_size != 0) {
    throw usage_error("operator.pdet.group_size",
                      std::to_string(c.group_size) + " does not divide hidden_dim " + std::to_string(c.hidden_dim),
                      "use a divisor of hidden_dim");
  }
  if (c.num_heads < 1 || c.group_size % c.num_heads != 0) {
    throw usage_error("operator.pdet.num_heads",
                      std::to_string(c.num_heads) + " does not divide group_size " + std::to_string(c.group_size),
                      "use a divisor of group_size");
  }
  PdetCoreConfig core;
  core.latent_dim = c.latent_dim;
  core.block.hidden_dim = c.hidden_dim;
  core.block.group_size = c.group_size;
  core.block.num_heads = c.num_heads;
  core.block.mlp_ratio = c.mlp_ratio;
  core.depths = c.depths;
  return core;
}
}  // namespace

LatentOperator::LatentOperator(const LatentOperatorConfig& config, uint64_t seed)
    : config_(config),
      time0_(1, config.time_embed_dim, InitKey{seed, "time_embed.proj.0"}),
      time2_(config.time_embed_dim, config.time_embed_dim, InitKey{seed, "time_embed.proj.2"}),
      time_to_latent_(config.time_embed_dim, config.latent_dim, InitKey{seed, "time_to_latent"}),
      core_(core_config(config), InitKey{seed, "core"}),
      output_norm_(config.latent_dim) {
  add_child("time_embed.proj.0", time0_);
  add_child("time_embed.proj.2", time2_);
  add_child("time_to_latent", time_to_latent_);
  add_child("core", core_);
  if (config.conditioning) {
    conditioner_ = std::make_unique<AdaLnConditioner>(*config.conditioning, config.latent_dim, InitKey{seed, "conditioner"});
    add_child("conditioner", *conditioner_);
  }
  add_child("output_norm", output_norm_);
}

Tensor LatentOperator::step(const Tensor& z, const Tensor& dt, const Conditions& conditions) const {
  const Tensor column = dt.to(z.options()).reshape({-1, 1});  // [1,1] or [B,1]
  const Tensor f = time_to_latent_(time2_(at::silu(time0_(column))));
  if (probe_) probe_("time_feature", f.expand({z.size(0), f.size(1)}));
  Tensor u = z + f.unsqueeze(1);
  if (conditioner_) u = (*conditioner_)(u, conditions);
  return output_norm_(core_(u, kernels_ == Kernels::fused && !probe_, probe_));
}

Tensor LatentOperator::forward(const Tensor& z, const Tensor& dt, const Conditions& conditions) const {
  return z + step(z, dt, conditions);
}

}  // namespace ups::models::reference
