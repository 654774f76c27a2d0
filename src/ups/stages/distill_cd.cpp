#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "ups/stages/distill_objective.h"

namespace ups::stages {
namespace {

// The end of the path through x at tau; x itself at tau = 0.
at::Tensor path_end(const models::Corrector& map, const at::Tensor& x, const ResidualRows& r, const at::Tensor& tau) {
  return x - along(tau, x) * map.velocity(x, r.z, r.z_op, r.condition, tau, tau);
}

class ConsistencyDistillation : public DistillObjective {
 public:
  std::string name() const override { return "cd"; }
  // Intervals that tau in [0, 1] is cut into: a coarse grid carries the residual's end to tau = 1 in few updates, a fine one is accurate.
  int64_t variant(double progress) const override { return progress < 0.25 ? 8 : progress < 0.5 ? 16 : 32; }

  at::Tensor loss(const FlowMaps& maps, const ResidualRows& r, int64_t intervals, const at::Tensor& uniform, const at::Tensor& noise) const override {
    const double h = 1.0 / static_cast<double>(intervals);
    const at::Tensor tau = ((uniform * static_cast<double>(intervals)).floor() + 1) * h, before = (tau - h).clamp_min(0);
    const at::Tensor t = along(tau, r.r), x = (1 - t) * r.r + t * noise;
    at::Tensor wanted;
    {
      const at::NoGradGuard no_grad;
      const at::Tensor zero = models::per_sample(r.z, 0.0);
      const at::Tensor first = maps.teacher.velocity(x, r.z, r.z_op, r.condition, tau, zero), euler = x - h * first;
      const at::Tensor second = maps.teacher.velocity(euler, r.z, r.z_op, r.condition, before, zero);
      // Heun's step, Euler's to tau = 0, where the velocity is not defined.
      const at::Tensor next = at::where(along(before > 0, x), x - 0.5 * h * (first + second), euler);
      wanted = path_end(maps.average, next, r, before);
    }
    const double c = 0.00054;  // in units of the residual's RMS
    return ((path_end(maps.student, x, r, tau) - wanted).square().flatten(1).mean(1) + c * c).sqrt() - c;
  }

  // Ends of paths with fresh noise mixed in between.
  at::Tensor sample(const models::Corrector& student, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, int64_t steps) const override {
    const ResidualRows rows{z, z_op, {}, {}, condition};
    at::Tensor r = path_end(student, noise(0), rows, models::per_sample(z, 1.0));
    for (int64_t i = 1; i < steps; ++i) {
      const double tau = 1.0 - static_cast<double>(i) / static_cast<double>(steps);
      r = path_end(student, (1 - tau) * r + tau * noise(i), rows, models::per_sample(z, tau));
    }
    return r;
  }
  int64_t max_steps() const override { return 8; }
  bool follows_path() const override { return false; }
};

}  // namespace

const DistillObjective& cd_objective() {
  static const ConsistencyDistillation objective;
  return objective;
}

}  // namespace ups::stages
