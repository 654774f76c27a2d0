// Linear and norm layers of the reference models with their default initialisation (golden README 3).
#pragma once
#include <string>

#include "ups/models/module.h"

namespace ups::models::reference {

// Where a parameter draws its initial values from: the run's seed and the full dotted name.
struct InitKey {
  uint64_t seed = 0;
  std::string path;
  InitKey operator/(const std::string& name) const { return {seed, path.empty() ? name : path + "." + name}; }
};

// y = x W^T + b, W [out, in]; W and b uniform in +-1/sqrt(in).
class Linear : public Module {
 public:
  Linear(int64_t in, int64_t out, const InitKey& key, Role role = Role::hidden);
  Tensor operator()(const Tensor& x) const;
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  void init_zero();  // weight and bias become 0

 private:
  Tensor weight_, bias_;
};

// Over the last axis, biased variance, eps 1e-5.
class LayerNorm : public Module {
 public:
  explicit LayerNorm(int64_t width);
  Tensor operator()(const Tensor& x) const;
  const Tensor& weight() const { return weight_; }
  const Tensor& bias() const { return bias_; }
  static constexpr double kEps = 1e-5;

 private:
  Tensor weight_, bias_;
};

// weight * x / sqrt(mean(x^2) + 1e-6) over the last axis.
class RmsNorm : public Module {
 public:
  explicit RmsNorm(int64_t width);
  Tensor operator()(const Tensor& x) const;
  const Tensor& weight() const { return weight_; }
  static constexpr double kEps = 1e-6;

 private:
  Tensor weight_;
};

}  // namespace ups::models::reference
