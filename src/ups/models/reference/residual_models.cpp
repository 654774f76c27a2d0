#include "ups/models/reference/residual_models.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace ups::models::reference {

namespace {
int64_t input_width(const TokenMlpConfig& c) {
  int64_t n = c.latent_dim + 1;
  for (const auto& [name, features] : c.cond_dims) n += features;
  return n;
}

// [z, tau, cond..] per token; tau [B].
Tensor token_inputs(const Tensor& z, const Tensor& tau, const Conditions& conditions) {
  const int64_t batch = z.size(0), tokens = z.size(1);
  std::vector<Tensor> parts{z, tau.to(z.options()).reshape({-1, 1, 1}).expand({batch, tokens, 1})};
  for (const auto& [name, value] : conditions) {
    const Tensor flat = value.to(z.options()).reshape({batch, 1, -1});
    parts.push_back(flat.expand({batch, tokens, flat.size(2)}));
  }
  return at::cat(parts, -1);
}
}  // namespace

DiffusionResidual::DiffusionResidual(const TokenMlpConfig& config, double residual_guidance_weight, uint64_t seed)
    : l0_(input_width(config), config.hidden_dim, InitKey{seed, "network.0"}, Role::input),
      l2_(config.hidden_dim, config.hidden_dim, InitKey{seed, "network.2"}),
      l4_(config.hidden_dim, config.latent_dim, InitKey{seed, "network.4"}, Role::output),
      guidance_(residual_guidance_weight) {
  add_child("network.0", l0_);
  add_child("network.2", l2_);
  add_child("network.4", l4_);
}

Tensor DiffusionResidual::operator()(const Tensor& z, const Tensor& tau, const Conditions& conditions,
                                     const Tensor& decoded_residual) const {
  const Tensor drift = l4_(at::silu(l2_(at::silu(l0_(token_inputs(z, tau, conditions))))));
  return decoded_residual.defined() ? drift + guidance_ * decoded_residual : drift;
}

SteadyPrior::SteadyPrior(const TokenMlpConfig& config, int64_t num_steps, uint64_t seed)
    : l0_(input_width(config), config.hidden_dim, InitKey{seed, "drift.0"}, Role::input),
      l2_(config.hidden_dim, config.hidden_dim, InitKey{seed, "drift.2"}),
      l4_(config.hidden_dim, config.latent_dim, InitKey{seed, "drift.4"}, Role::output),
      num_steps_(num_steps) {
  add_child("drift.0", l0_);
  add_child("drift.2", l2_);
  add_child("drift.4", l4_);
}

double SteadyPrior::tau(int64_t k) const {
  return static_cast<double>(k) / static_cast<double>(std::max<int64_t>(num_steps_ - 1, 1));
}

Tensor SteadyPrior::drift(const Tensor& z, double tau, const Conditions& conditions) const {
  const Tensor taus = at::full({z.size(0)}, tau, z.options());
  return l4_(at::gelu(l2_(at::gelu(l0_(token_inputs(z, taus, conditions))))));
}

std::vector<Tensor> SteadyPrior::states(const Tensor& z, const Conditions& conditions) const {
  std::vector<Tensor> out{z};
  for (int64_t k = 0; k < num_steps_; ++k) out.push_back(out.back() + drift(out.back(), tau(k), conditions));
  return out;
}

Tensor SteadyPrior::operator()(const Tensor& z, const Conditions& conditions) const { return states(z, conditions).back(); }

Tensor steady_residual_norm(const Tensor& z_final, const Tensor& z) {
  return at::linalg_vector_norm(z_final - z, 2, at::IntArrayRef{-1}).mean();
}

}  // namespace ups::models::reference
