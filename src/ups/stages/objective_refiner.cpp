#include <ATen/ATen.h>

#include <array>
#include <cmath>

#include "ups/core/rng.h"
#include "ups/stages/residual_objective.h"
#include "ups/stages/v_prediction.h"

namespace ups::stages {
namespace {

// PDE-Refiner: K refinements after a first prediction from pure noise. Of level k: variance added betas[k], signal left `left[k]`.
constexpr int64_t kRefinements = 3, kLevels = kRefinements + 1;
constexpr double kMinimalVariance = 4e-7;  // the paper's min_noise_std

struct Levels {
  std::array<double, kLevels> beta{}, left{}, tau{};
  Levels() {
    double product = 1;
    for (int64_t k = 0; k < kLevels; ++k) {
      const auto i = static_cast<size_t>(k);
      beta[i] = std::pow(kMinimalVariance, static_cast<double>(kRefinements - k) / kRefinements);
      left[i] = product *= 1 - beta[i];
      tau[i] = std::sqrt(1 - left[i]) / (std::sqrt(1 - left[i]) + std::sqrt(left[i]));
    }
  }
};
const Levels& levels() {
  static const Levels l;
  return l;
}

class Refiner : public ResidualObjective {
 public:
  std::string name() const override { return "refiner"; }

  void draw(const at::Tensor& z, uint64_t key, train::Prepared& out) const override {
    out.tensors["noise"] = models::noise_like(z, mix_seed(key, 1));
    const at::Tensor level = (models::uniform_like({z.size(0)}, mix_seed(key, 2), z.options()) * static_cast<double>(kLevels)).floor();
    at::Tensor tau = models::per_sample(z, 0);
    for (int64_t k = 0; k < kLevels; ++k) tau = tau + (level == k).to(z.scalar_type()) * levels().tau[static_cast<size_t>(k)];
    out.tensors["tau"] = tau;
  }

  Question ask(const ResidualRows& rows, const train::Prepared& p) const override { return v_question(rows, p.tensors.at("tau"), p.tensors.at("noise")); }
  at::Tensor loss(const ResidualRows& rows, const train::Prepared& p, const at::Tensor& answer) const override {
    return v_loss(rows, p.tensors.at("tau"), p.tensors.at("noise"), answer);
  }

  at::Tensor sample(const models::Corrector& corrector, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, const ResidualSampler& /*sampler*/) const override {
    const Levels& l = levels();
    at::Tensor y = noise(0);
    for (int64_t k = kRefinements;; --k) {
      const auto i = static_cast<size_t>(k);
      const at::Tensor r = denoised(corrector, y, z, z_op, condition, l.tau[i]);
      if (k == 0) return r;
      // q(y_{k-1} | y_k, r) of the forward process.
      const double before = l.left[i - 1], added = 1 - l.left[i];
      y = std::sqrt(before) * l.beta[i] / added * r + std::sqrt(1 - l.beta[i]) * (1 - before) / added * y +
          std::sqrt(l.beta[i] * (1 - before) / added) * noise(kLevels - k);
    }
  }

  int64_t evaluations(const ResidualSampler& /*sampler*/) const override { return kLevels; }
};

}  // namespace

const ResidualObjective& refiner_objective() {
  static const Refiner objective;
  return objective;
}

}  // namespace ups::stages
