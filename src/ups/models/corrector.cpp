#include "ups/models/corrector.h"

#include <ATen/ATen.h>

namespace ups::models {

Corrector::Corrector(std::unique_ptr<FieldModel> net, const std::vector<double>& residual_rms, const std::vector<double>& delta_rms,
                     size_t axes, bool preconditioned)
    : net_(std::move(net)), preconditioned_(preconditioned) {
  add_child("net", *net_);
  scale_ = add_buffer("residual_scale", channel_scale(residual_rms, axes));
  delta_scale_ = add_buffer("delta_scale", channel_scale(delta_rms, axes));
}

Tensor Corrector::network(const Tensor& x, const Tensor& z0, const Tensor& z_op, Condition condition, const Tensor& tau,
                          const Tensor& s) const {
  condition.tau = tau;
  condition.step = s;
  return net_->forward(at::cat({x, z0, (z_op - z0) / delta_scale_}, 1), condition).to(x.scalar_type());
}

Tensor Corrector::velocity(const Tensor& x, const Tensor& z0, const Tensor& z_op, const Condition& condition, const Tensor& tau,
                           const Tensor& s) const {
  if (!preconditioned_) return network(x, z0, z_op, condition, tau, s);
  std::vector<int64_t> shape(static_cast<size_t>(x.dim()), 1);
  shape[0] = tau.size(0);
  const Tensor t = tau.view(shape), n = ((1 - t).square() + t.square()).sqrt(), y = x / n;
  return ((2 * t - 1) * y + network(y, z0, z_op, condition, tau, s)) / n;
}

Tensor Corrector::mean_residual(const Tensor& z0, const Tensor& z_op, const Condition& condition) const {
  return -network(at::zeros_like(z0), z0, z_op, condition, per_sample(z0, 1.0), per_sample(z0, -1.0));
}

Tensor Corrector::sample(const Tensor& noise, const Tensor& z0, const Tensor& z_op, const Condition& condition, int64_t steps,
                         bool heun) const {
  return integrate(noise, steps, heun, [&](const Tensor& x, double tau) {
    return velocity(x, z0, z_op, condition, per_sample(z0, tau), per_sample(z0, 0.0));
  });
}

Tensor Corrector::jump(const Tensor& noise, const Tensor& z0, const Tensor& z_op, const Condition& condition, int64_t steps) const {
  const double h = 1.0 / static_cast<double>(steps);
  return integrate(noise, steps, false, [&](const Tensor& x, double tau) {
    return velocity(x, z0, z_op, condition, per_sample(z0, tau), per_sample(z0, h));
  });
}

}  // namespace ups::models
