#include <ATen/ATen.h>

#include "ups/core/rng.h"
#include "ups/stages/residual_objective.h"

namespace ups::stages {
namespace {

// Fair at 0. Above it two members that agree still pay a little for missing the truth: the fair score alone cannot tell a member that
// hits the truth, beside one anywhere, from two that hit it.
constexpr double kUnfair = 0.05;

class Crps : public ResidualObjective {
 public:
  std::string name() const override { return "crps"; }

  void draw(const at::Tensor& z, uint64_t key, train::Prepared& out) const override {
    out.tensors["noise"] = models::noise_like(z, mix_seed(key, 1));
    out.tensors["noise2"] = models::noise_like(z, mix_seed(key, 2));
  }

  Question ask(const ResidualRows& r, const train::Prepared& p) const override {
    return {at::cat({p.tensors.at("noise"), p.tensors.at("noise2")}), models::per_sample(r.z, 1.0).repeat({2}), 2};
  }
  // mean of |x1 - r| / 2 + |x2 - r| / 2 - (1 - kUnfair) |x1 - x2| / 2
  at::Tensor loss(const ResidualRows& r, const train::Prepared& /*prepared*/, const at::Tensor& answer) const override {
    const int64_t n = r.z.size(0);
    const at::Tensor a = -answer.narrow(0, 0, n), b = -answer.narrow(0, n, n);
    return (((a - r.r).abs() + (b - r.r).abs() - (1 - kUnfair) * (a - b).abs()) / 2).flatten(1).mean(1);
  }
  bool squared() const override { return false; }

  // As the mean mode, with noise where that has none.
  at::Tensor sample(const models::Corrector& corrector, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, const ResidualSampler& /*sampler*/) const override {
    return -corrector.network(noise(0), z, z_op, condition, models::per_sample(z, 1.0), models::per_sample(z, 0.0));
  }
  int64_t evaluations(const ResidualSampler& /*sampler*/) const override { return 1; }
};

}  // namespace

const ResidualObjective& crps_objective() {
  static const Crps objective;
  return objective;
}

}  // namespace ups::stages
