#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ups/stages/distill_objective.h"

namespace ups::stages {
namespace {

class Direct : public DistillObjective {
 public:
  std::string name() const override { return "direct"; }
  int64_t variant(double /*progress*/) const override { return 0; }

  at::Tensor loss(const FlowMaps& maps, const ResidualRows& r, int64_t /*variant*/, const at::Tensor& /*uniform*/, const at::Tensor& noise) const override {
    constexpr int64_t kTeacherSteps = 8;
    at::Tensor end;
    {
      const at::NoGradGuard no_grad;
      end = maps.teacher.sample(noise, r.z, r.z_op, r.condition, kTeacherSteps, true);
    }
    return (maps.student.jump(noise, r.z, r.z_op, r.condition, 1) - end).square().flatten(1).mean(1);
  }

  at::Tensor sample(const models::Corrector& student, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                    const NoiseOf& noise, int64_t /*steps*/) const override {
    return student.jump(noise(0), z, z_op, condition, 1);
  }
  int64_t max_steps() const override { return 1; }
};

}  // namespace

const DistillObjective& direct_objective() {
  static const Direct objective;
  return objective;
}

}  // namespace ups::stages
