#include <ATen/ATen.h>

#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/stages/residual_objective.h"

namespace ups::stages {
namespace {

class Flow : public ResidualObjective {
 public:
  std::string name() const override { return "flow"; }

  void draw(const at::Tensor& z, uint64_t key, train::Prepared& out) const override {
    out.tensors["noise"] = models::noise_like(z, mix_seed(key, 1));
    out.tensors["tau_noise"] = models::noise_like(models::per_sample(z, 0), mix_seed(key, 2));
  }

  Question ask(const ResidualRows& r, const train::Prepared& prepared) const override {
    const at::Tensor tau = at::sigmoid(prepared.tensors.at("tau_noise")), t = along(tau, r.r);
    return {(1 - t) * r.r + t * prepared.tensors.at("noise"), tau};
  }
  at::Tensor loss(const ResidualRows& r, const train::Prepared& prepared, const at::Tensor& velocity) const override {
    return (velocity - (prepared.tensors.at("noise") - r.r)).square().flatten(1).mean(1);
  }

  at::Tensor sample(const models::Corrector& corrector, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, const ResidualSampler& sampler) const override {
    return corrector.sample(noise(0), z, z_op, condition, sampler.steps, sampler.heun);
  }

  int64_t evaluations(const ResidualSampler& s) const override { return s.heun ? 2 * s.steps - 1 : s.steps; }
};

}  // namespace

const ResidualObjective& flow_objective() {
  static const Flow objective;
  return objective;
}

const ResidualObjective& residual_objective(const std::string& name) {
  if (name == "flow") return flow_objective();
  if (name == "edm") return edm_objective();
  if (name == "refiner") return refiner_objective();
  if (name == "crps") return crps_objective();
  throw usage_error("diffusion.objective", "objective '" + name + "' does not exist for fields", "one of: flow, edm, refiner, crps");
}

}  // namespace ups::stages
