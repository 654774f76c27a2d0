#include "ups/stages/v_prediction.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ups::stages {

namespace {

struct Mixture {
  at::Tensor c, s;
};
Mixture mixture(const ResidualRows& r, const at::Tensor& tau) {
  const at::Tensor size = ((1 - tau).square() + tau.square()).sqrt();
  return {along((1 - tau) / size, r.r), along(tau / size, r.r)};
}

}  // namespace

Question v_question(const ResidualRows& r, const at::Tensor& tau, const at::Tensor& noise) {
  const auto [c, s] = mixture(r, tau);
  return {c * r.r + s * noise, tau};
}

at::Tensor v_loss(const ResidualRows& r, const at::Tensor& tau, const at::Tensor& noise, const at::Tensor& f) {
  const auto [c, s] = mixture(r, tau);
  return (f - (c * noise - s * r.r)).square().flatten(1).mean(1);
}

at::Tensor denoised(const models::Corrector& corrector, const at::Tensor& y, const at::Tensor& z, const at::Tensor& z_op,
                    const models::Condition& condition, double tau) {
  const double size = std::hypot(1 - tau, tau);
  const at::Tensor f = corrector.network(y, z, z_op, condition, models::per_sample(z, tau), models::per_sample(z, 0.0));
  return (1 - tau) / size * y - tau / size * f;
}

}  // namespace ups::stages
