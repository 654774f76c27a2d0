// Network on the frozen operator's residual r = (z' - z_op) / s_r, unit scale (stages.md 5 and 6). What it is trained to say is the
// objective's (stages/residual_objective.h); flow, edm and their students share the velocity below.
#pragma once
#include <memory>

#include "ups/models/field_operator.h"

namespace ups::models {

// On x_tau = (1 - tau) r + tau eps, tau from 0 (residual) to 1 (noise): u(x, tau, s) with x_{tau - s} = x - s u.
//   s = 0 velocity eps - r; null-noise token x = 0, tau = 1, s = -1: the deterministic mean mode, r = -u.
class Corrector : public Module {
 public:
  // preconditioned (EDM with sigma_data = 1, arXiv 2206.00364): the network sees y = x / n, n^2 = (1 - tau)^2 + tau^2, and answers
  // F = (1 - tau) / n eps - tau / n r, so that both have unit variance at every tau; then u = ((2 tau - 1) y + F) / n.
  Corrector(std::unique_ptr<FieldModel> net, const std::vector<double>& residual_rms, const std::vector<double>& delta_rms, size_t axes,
            bool preconditioned = false);
  // The network itself. x [B, C, X..]; tau and s [B].
  Tensor network(const Tensor& x, const Tensor& z0, const Tensor& z_op, Condition condition, const Tensor& tau, const Tensor& s) const;
  Tensor velocity(const Tensor& x, const Tensor& z0, const Tensor& z_op, const Condition& condition, const Tensor& tau, const Tensor& s) const;
  Tensor mean_residual(const Tensor& z0, const Tensor& z_op, const Condition& condition) const;  // r of the mean mode, unit scale
  // Integrates from noise at tau = 1 to 0; `steps` steps, Heun except the last one when heun is set. Unit scale.
  Tensor sample(const Tensor& noise, const Tensor& z0, const Tensor& z_op, const Condition& condition, int64_t steps, bool heun) const;
  // `steps` jumps of the distilled flow map.
  Tensor jump(const Tensor& noise, const Tensor& z0, const Tensor& z_op, const Condition& condition, int64_t steps) const;
  const Tensor& scale() const { return scale_; }
  FieldModel& net() { return *net_; }

 private:
  std::unique_ptr<FieldModel> net_;
  Tensor scale_, delta_scale_;
  bool preconditioned_;
};

}  // namespace ups::models
