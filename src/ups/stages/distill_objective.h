// How a student learns in few network evaluations what its frozen teacher's ODE does in many: stages.consistency_distill.objective.
//
//   shortcut  u(x, tau, s) over a step s = two steps s/2: of the teacher below 1/8, of the averaged student above (stages.md 6.1)
//   cd        f(x, tau) = x - tau u(x, tau, tau) = f of the averaged student one teacher Heun step further (arXiv 2303.01469);
//             pseudo-Huber (arXiv 2310.14189)
//   direct    f(eps, 1) = end of the teacher's eight Heun steps from the same eps
#pragma once
#include <string>

#include "ups/stages/residual_objective.h"

namespace ups::stages {

struct FlowMaps {
  const models::Corrector &student, &teacher, &average;  // teacher frozen; average: of the student's weights, without gradient
};

class DistillObjective {
 public:
  virtual ~DistillObjective() = default;
  virtual std::string name() const = 0;
  // Which of the objective's computations runs at this share of the training (train::Prepared::variant).
  virtual int64_t variant(double progress) const = 0;
  // uniform [B] in [0, 1) and noise like r: the draws. -> [B]
  virtual at::Tensor loss(const FlowMaps& maps, const ResidualRows& rows, int64_t variant, const at::Tensor& uniform, const at::Tensor& noise) const = 0;
  // steps <= max_steps(); unit scale.
  virtual at::Tensor sample(const models::Corrector& student, const at::Tensor& z, const at::Tensor& z_op, const models::Condition& condition,
                            const NoiseOf& noise, int64_t steps) const = 0;
  virtual int64_t max_steps() const = 0;
  // The end of more than one step is a function of the first noise alone.
  virtual bool follows_path() const { return true; }
};

// shortcut, cd or direct.
const DistillObjective& distill_objective(const std::string& name);
const DistillObjective& shortcut_objective();
const DistillObjective& cd_objective();
const DistillObjective& direct_objective();

}  // namespace ups::stages
