// AdaLN conditioning of the reference operator (golden README 4): replaces u by a gated, modulated layer norm of u.
#pragma once
#include <memory>

#include "ups/models/reference/conditions.h"
#include "ups/models/reference/layers.h"

namespace ups::models::reference {

struct ConditioningConfig {
  int64_t hidden_dim = 64;
  std::vector<std::pair<std::string, int64_t>> sources;  // name -> features, in registration order
};

class AdaLnConditioner : public Module {
 public:
  AdaLnConditioner(const ConditioningConfig& config, int64_t latent_dim, const InitKey& key);
  // u [B,T,D]. Absent sources contribute nothing, unknown names are ignored; a 1-D condition is read as one row [1, features].
  Tensor operator()(const Tensor& u, const Conditions& conditions) const;

 private:
  struct Embedder : Module {
    Embedder(int64_t in, int64_t hidden, int64_t out, const InitKey& key);
    Linear first, second;
  };
  int64_t latent_dim_;
  std::vector<std::pair<std::string, std::unique_ptr<Embedder>>> embedders_;
};

}  // namespace ups::models::reference
