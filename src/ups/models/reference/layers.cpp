#include "ups/models/reference/layers.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace ups::models::reference {

Linear::Linear(int64_t in, int64_t out, const InitKey& key, Role role) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(in));
  weight_ = add_parameter("weight", uniform_init({out, in}, bound, key.seed, (key / "weight").path), role);
  bias_ = add_parameter("bias", uniform_init({out}, bound, key.seed, (key / "bias").path), role);
}

Tensor Linear::operator()(const Tensor& x) const { return at::linear(x, weight_, bias_); }

void Linear::init_zero() {
  const at::NoGradGuard no_grad;
  weight_.zero_();
  bias_.zero_();
}

LayerNorm::LayerNorm(int64_t width) {
  weight_ = add_parameter("weight", at::ones({width}));
  bias_ = add_parameter("bias", at::zeros({width}));
}

Tensor LayerNorm::operator()(const Tensor& x) const { return at::layer_norm(x, {weight_.size(0)}, weight_, bias_, kEps); }

RmsNorm::RmsNorm(int64_t width) { weight_ = add_parameter("weight", at::ones({width})); }

Tensor RmsNorm::operator()(const Tensor& x) const {
  return weight_ * (x * at::rsqrt(x.pow(2).mean(-1, /*keepdim=*/true) + kEps));
}

}  // namespace ups::models::reference
