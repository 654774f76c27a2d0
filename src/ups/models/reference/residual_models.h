// The reference's residual corrector and steady prior: small per-token MLPs (golden README 7).
#pragma once
#include "ups/models/reference/conditions.h"
#include "ups/models/reference/layers.h"

namespace ups::models::reference {

struct TokenMlpConfig {
  int64_t latent_dim = 16;
  int64_t hidden_dim = 96;
  std::vector<std::pair<std::string, int64_t>> cond_dims;  // name -> features, in the order of the input columns
};

// drift(z, tau) of the `diffusion` corrector: a SiLU MLP on [z, tau, cond..] per token. No noise is involved.
class DiffusionResidual : public Module {
 public:
  DiffusionResidual(const TokenMlpConfig& config, double residual_guidance_weight, uint64_t seed);
  // z [B,T,D], tau [B]; decoded_residual [B,T,D] or undefined, added with the guidance weight.
  // Conditions are concatenated in the given order, each flattened to [B, features] and repeated over tokens.
  Tensor operator()(const Tensor& z, const Tensor& tau, const Conditions& conditions = {},
                    const Tensor& decoded_residual = {}) const;

 private:
  Linear l0_, l2_, l4_;
  double guidance_;
};

// K residual steps of one GELU MLP on [z, tau_k, cond..], tau_k = k / max(K-1, 1).
class SteadyPrior : public Module {
 public:
  SteadyPrior(const TokenMlpConfig& config, int64_t num_steps, uint64_t seed);
  Tensor operator()(const Tensor& z, const Conditions& conditions = {}) const;  // z_K, [B,T,D]
  // All of z_0 .. z_K, K+1 tensors.
  std::vector<Tensor> states(const Tensor& z, const Conditions& conditions = {}) const;
  Tensor drift(const Tensor& z, double tau, const Conditions& conditions = {}) const;
  double tau(int64_t k) const;
  int64_t num_steps() const { return num_steps_; }

 private:
  Linear l0_, l2_, l4_;
  int64_t num_steps_;
};

// mean over (B,T) of the norm over D of z_K - z.
Tensor steady_residual_norm(const Tensor& z_final, const Tensor& z);

}  // namespace ups::models::reference
