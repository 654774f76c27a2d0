#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ups/core/error.h"
#include "ups/stages/distill_objective.h"

namespace ups::stages {
namespace {

class Shortcut : public DistillObjective {
 public:
  std::string name() const override { return "shortcut"; }
  // Step sizes: the first quarter of the training only the two small ones.
  int64_t variant(double progress) const override { return progress < 0.25 ? 2 : 4; }

  at::Tensor loss(const FlowMaps& maps, const ResidualRows& r, int64_t sizes, const at::Tensor& uniform, const at::Tensor& noise) const override {
    // Step sizes 1/8 .. 1. Rows get them by place: batches are shuffled, and the rows of the smallest step, which ask the teacher, lie
    // together.
    const int64_t n = r.z.size(0), smallest = (n + sizes - 1) / sizes;
    const at::Tensor level = at::floor(at::arange(n, r.z.options()) * (static_cast<double>(sizes) / static_cast<double>(n))).clamp_max(static_cast<double>(sizes - 1));
    const at::Tensor s = at::exp2(level - 3);
    const at::Tensor slots = at::exp2(3 - level);  // tau on the grid {1, 1 - s, .., s}
    const at::Tensor slot = (uniform * slots).floor();
    const at::Tensor tau = 1 - s * at::minimum(slot, slots - 1);
    const at::Tensor x = (1 - along(tau, r.r)) * r.r + along(tau, r.r) * noise;
    const at::Tensor wanted = two_halves(maps, r, smallest, x, tau, s / 2);
    return (maps.student.velocity(x, r.z, r.z_op, r.condition, tau, s) - wanted).square().flatten(1).mean(1);
  }

  at::Tensor sample(const models::Corrector& student, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, int64_t steps) const override {
    return student.jump(noise(0), z, z_op, condition, steps);
  }
  int64_t max_steps() const override { return 8; }

 private:
  static at::Tensor two_halves(const FlowMaps& maps, const ResidualRows& r, int64_t smallest, const at::Tensor& x, const at::Tensor& tau,
                               const at::Tensor& half) {
    const at::NoGradGuard no_grad;
    const int64_t n = r.z.size(0);
    const ResidualRows first = r.part(0, smallest), rest = r.part(smallest, n - smallest);
    const auto half_step = [&](const at::Tensor& state, const at::Tensor& time) {
      // Below 1/8 the flow map is the teacher's velocity.
      const at::Tensor by_teacher = maps.teacher.velocity(state.narrow(0, 0, smallest), first.z, first.z_op, first.condition,
                                                          time.narrow(0, 0, smallest), models::per_sample(first.z, 0.0));
      if (smallest == n) return by_teacher;
      const at::Tensor by_average = maps.average.velocity(state.narrow(0, smallest, n - smallest), rest.z, rest.z_op, rest.condition,
                                                          time.narrow(0, smallest, n - smallest), half.narrow(0, smallest, n - smallest));
      return at::cat({by_teacher, by_average}, 0);
    };
    const at::Tensor u1 = half_step(x, tau);
    const at::Tensor u2 = half_step(x - along(half, x) * u1, tau - half);
    return (u1 + u2) / 2;
  }
};

}  // namespace

const DistillObjective& shortcut_objective() {
  static const Shortcut objective;
  return objective;
}

const DistillObjective& distill_objective(const std::string& name) {
  if (name == "shortcut") return shortcut_objective();
  if (name == "cd") return cd_objective();
  if (name == "direct") return direct_objective();
  throw usage_error("stages.consistency_distill.objective", "objective '" + name + "' does not exist for fields", "one of: shortcut, cd, direct");
}

}  // namespace ups::stages
