// LatentOperator: the reference's latent time stepper (`pdet_unet`), golden README 4.
#pragma once
#include <optional>

#include "ups/models/reference/adaln_conditioner.h"
#include "ups/models/reference/pdet_core.h"

namespace ups::models::reference {

struct LatentOperatorConfig {
  int64_t latent_dim = 16;  // D
  int64_t hidden_dim = 96;  // H
  std::vector<int64_t> depths{1, 1, 1};
  int64_t group_size = 12;
  int64_t num_heads = 6;
  double mlp_ratio = 2.0;
  int64_t time_embed_dim = 64;  // the reference's training script passes the latent dim instead of this class default
  std::optional<ConditioningConfig> conditioning;
};

// fused: hand-written CPU kernels for fp32 blocks (fused_block.h), otherwise the plain ATen formulas. Same results to rounding.
enum class Kernels { fused, plain };

class LatentOperator : public Module {
 public:
  // Throws Error (exit 2) if group_size does not divide hidden_dim or num_heads does not divide group_size.
  LatentOperator(const LatentOperatorConfig& config, uint64_t seed);

  // Residual r = LayerNorm(core(condition(z + f(dt)))); z [B,T,D], dt 0-dim or [B].
  Tensor step(const Tensor& z, const Tensor& dt, const Conditions& conditions = {}) const;
  // Next state z + r.
  Tensor forward(const Tensor& z, const Tensor& dt, const Conditions& conditions = {}) const;

  void set_kernels(Kernels kernels) { kernels_ = kernels; }
  void set_probe(Probe probe) { probe_ = std::move(probe); }  // sees intermediates; forces the plain path
  const LatentOperatorConfig& config() const { return config_; }

 private:
  LatentOperatorConfig config_;
  Linear time0_, time2_, time_to_latent_;
  PdetCore core_;
  std::unique_ptr<AdaLnConditioner> conditioner_;
  LayerNorm output_norm_;
  Kernels kernels_ = Kernels::fused;
  Probe probe_;
};

}  // namespace ups::models::reference
