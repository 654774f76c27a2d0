#include "ups/models/reference/adaln_conditioner.h"

#include <ATen/ATen.h>

namespace ups::models::reference {

AdaLnConditioner::Embedder::Embedder(int64_t in, int64_t hidden, int64_t out, const InitKey& key)
    : first(in, hidden, key / "0", Role::input), second(hidden, out, key / "2", Role::output) {
  second.init_zero();  // starts as a plain layer norm times sigmoid(2)
  add_child("0", first);
  add_child("2", second);
}

AdaLnConditioner::AdaLnConditioner(const ConditioningConfig& config, int64_t latent_dim, const InitKey& key)
    : latent_dim_(latent_dim) {
  for (const auto& [name, features] : config.sources) {
    const std::string path = "embedders." + name;
    auto embedder = std::make_unique<Embedder>(features, config.hidden_dim, 3 * latent_dim, key / path);
    add_child(path, *embedder);
    embedders_.emplace_back(name, std::move(embedder));
  }
}

Tensor AdaLnConditioner::operator()(const Tensor& u, const Conditions& conditions) const {
  Tensor sum = at::zeros({1, 3 * latent_dim_}, u.options());
  for (const auto& [name, embedder] : embedders_) {
    for (const auto& [given, value] : conditions) {
      if (given != name) continue;
      const Tensor row = value.dim() == 1 ? value.unsqueeze(0) : value;
      sum = sum + embedder->second(at::gelu(embedder->first(row.to(u.scalar_type()))));
    }
  }
  const auto parts = sum.unsqueeze(1).chunk(3, -1);  // gamma, beta, gate: [B or 1, 1, D]
  const Tensor n = at::layer_norm(u, {latent_dim_}, {}, {}, LayerNorm::kEps);
  return at::sigmoid(parts[2] + 2.0) * ((1.0 + parts[0]) * n + parts[1]);
}

}  // namespace ups::models::reference
