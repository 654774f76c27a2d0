#include "ups/optim/updates.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>
#include <cmath>

namespace ups::optim {

ScaleMode parse_scale_mode(const std::string& name) {
  if (name == "original") return ScaleMode::original;
  if (name == "spectral" || name == "spectral_unclamped") return ScaleMode::spectral;
  if (name == "none") return ScaleMode::none;
  if (name == "kj_compat" || name == "keller") return ScaleMode::kj_compat;
  assert(name == "match_rms" || name == "rms" || name == "match_rms_adamw");
  return ScaleMode::match_rms;
}

double default_scale(ScaleMode mode) { return mode == ScaleMode::match_rms ? 0.2 : 1.0; }

double muon_factor(ScaleMode mode, double k, int64_t rows, int64_t columns, at::IntArrayRef shape) {
  const double a = static_cast<double>(rows), b = static_cast<double>(columns);
  switch (mode) {
    case ScaleMode::match_rms: return k * std::sqrt(std::max(a, b));
    case ScaleMode::original: return k * std::sqrt(std::max(1.0, a / b));
    case ScaleMode::spectral: return k * std::sqrt(a / b);
    case ScaleMode::none: return k;
    case ScaleMode::kj_compat: break;
  }
  if (shape.size() < 2) return k;
  const double height = static_cast<double>(shape[shape.size() - 2]), width = static_cast<double>(shape[shape.size() - 1]);
  return k * std::sqrt(std::max(1.0, height / width));
}

host::AdamScalars adam_scalars(double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, double t) {
  host::AdamScalars s;
  s.decay = decoupled ? 1 - lr * weight_decay : 1;
  s.l2 = decoupled ? 0 : weight_decay;
  s.beta1 = beta1;
  s.beta2 = beta2;
  s.step_size = lr / (1 - std::pow(beta1, t));
  s.inv_root_c2 = 1 / std::sqrt(1 - std::pow(beta2, t));
  s.eps = eps;
  return s;
}

at::Tensor sgd_direction(const SgdRule& rule, const at::Tensor& w, const at::Tensor& grad, const at::Tensor& buffer, const at::Tensor& steps,
                         at::Tensor& next_buffer) {
  const at::Tensor g = rule.weight_decay != 0 ? at::add(grad, w, rule.weight_decay) : grad;
  if (rule.momentum == 0) return g;
  next_buffer = at::mul(buffer, rule.momentum).add_(g, 1 - rule.dampening);
  // The first step takes the gradient whole. With dampening 0 a zero buffer gives the same bits.
  if (rule.dampening != 0) next_buffer = at::where(steps.eq(0), g, next_buffer);
  return rule.nesterov ? at::add(g, next_buffer, rule.momentum) : next_buffer;
}

}  // namespace ups::optim
