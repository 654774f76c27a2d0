#include <ATen/ATen.h>

#include <cmath>

#include "ups/core/rng.h"
#include "ups/stages/residual_objective.h"
#include "ups/stages/v_prediction.h"

namespace ups::stages {
namespace {

// EDM's, with sigma_data = 1 because the residual has unit variance; its loss weight makes the error of the network's answer F plain.
constexpr double kLogMean = -0.4, kLogStd = 1.2;
constexpr double kSigmaMin = 0.01, kSigmaMax = 20.0, kRho = 7.0;

// Noise level i of n, falling; 0 after the last.
double sigma_at(int64_t i, int64_t n) {
  if (i >= n) return 0;
  const double share = n > 1 ? static_cast<double>(i) / static_cast<double>(n - 1) : 0;
  const double high = std::pow(kSigmaMax, 1 / kRho), low = std::pow(kSigmaMin, 1 / kRho);
  return std::pow(high + share * (low - high), kRho);
}

class Edm : public ResidualObjective {
 public:
  std::string name() const override { return "edm"; }

  void draw(const at::Tensor& z, uint64_t key, train::Prepared& out) const override {
    out.tensors["noise"] = models::noise_like(z, mix_seed(key, 1));
    out.tensors["tau"] = at::sigmoid(kLogMean + kLogStd * models::noise_like(models::per_sample(z, 0), mix_seed(key, 2)));  // of log sigma
  }

  Question ask(const ResidualRows& rows, const train::Prepared& p) const override { return v_question(rows, p.tensors.at("tau"), p.tensors.at("noise")); }
  at::Tensor loss(const ResidualRows& rows, const train::Prepared& p, const at::Tensor& answer) const override {
    return v_loss(rows, p.tensors.at("tau"), p.tensors.at("noise"), answer);
  }

  // dx / d sigma = (x - D(x, sigma)) / sigma on x = r + sigma eps; the last step, to 0, is Euler's.
  at::Tensor sample(const models::Corrector& corrector, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, const ResidualSampler& sampler) const override {
    const auto slope = [&](const at::Tensor& x, double sigma) {
      return (x - denoised(corrector, x / std::sqrt(1 + sigma * sigma), z, z_op, condition, sigma / (1 + sigma))) / sigma;
    };
    at::Tensor x = noise(0) * kSigmaMax;
    for (int64_t i = 0; i < sampler.steps; ++i) {
      const double from = sigma_at(i, sampler.steps), to = sigma_at(i + 1, sampler.steps), h = to - from;
      const at::Tensor first = slope(x, from), next = x + h * first;
      x = sampler.heun && to > 0 ? x + 0.5 * h * (first + slope(next, to)) : next;
    }
    return x;
  }

  int64_t evaluations(const ResidualSampler& s) const override { return s.heun ? 2 * s.steps - 1 : s.steps; }
};

}  // namespace

const ResidualObjective& edm_objective() {
  static const Edm objective;
  return objective;
}

}  // namespace ups::stages
