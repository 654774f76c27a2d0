#include "ups/models/conditioning.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ups::models {
namespace {
constexpr int64_t kFrequencies = 8;
}  // namespace

Tensor sinusoidal(const Tensor& x, int64_t n, double max_frequency) {
  const Tensor exponent = at::arange(n, x.options()) / static_cast<double>(std::max<int64_t>(1, n - 1));
  const Tensor angle = x.unsqueeze(-1) * at::pow(at::full({}, max_frequency, x.options()), exponent);
  return at::cat({at::sin(angle), at::cos(angle)}, -1);
}

ConditionEmbedding::ConditionEmbedding(int64_t dim, bool dt, int64_t parameters, int64_t boundary_kinds, bool tau, uint64_t seed) {
  const auto add = [&](std::unique_ptr<Linear>& slot, const std::string& name, int64_t in, double gain = 1.0, double bias_gain = 0.0) {
    slot = std::make_unique<Linear>(in, dim, seed, "condition." + name, Role::embedding, gain, bias_gain);
    add_child(name, *slot);
  };
  if (dt) add(dt_, "dt", 2 * kFrequencies);
  // Values, not sinusoids of them: with frequencies up to 10 a network trained at six viscosities learned six networks, and its error
  // at a seventh between them was ten times that of one trained there.
  if (parameters > 0) add(params_, "params", parameters, 1.0, 1.0);
  if (boundary_kinds > 0) add(boundary_, "boundary", boundary_kinds);
  if (tau) {
    add(tau_, "tau", 2 * kFrequencies);
    add(step_, "step", 2 * kFrequencies, 0.0);  // zero: a distilled student starts as its teacher
  }
  add(out_, "out", dim);
}

Tensor ConditionEmbedding::operator()(const Condition& c, int64_t batch, const at::TensorOptions& options) const {
  const auto as = [&](const Tensor& t) { return t.to(options.dtype()); };
  Tensor sum;
  const auto add = [&](const Tensor& t) { sum = sum.defined() ? sum + t : t; };
  if (dt_ && c.dt.defined()) add((*dt_)(sinusoidal(at::log(as(c.dt).clamp_min(1e-12)), kFrequencies, 10.0)));
  if (params_ && c.params.defined()) add((*params_)(as(c.params)));
  if (boundary_ && c.boundary.defined()) add((*boundary_)(as(c.boundary)));
  if (tau_ && c.tau.defined()) add((*tau_)(sinusoidal(as(c.tau), kFrequencies, 100.0)));
  if (step_ && c.step.defined()) add((*step_)(sinusoidal(as(c.step), kFrequencies, 10.0)));
  if (!sum.defined()) sum = at::zeros({batch, out_->weight.size(1)}, options);
  return at::silu((*out_)(at::silu(sum)));
}

}  // namespace ups::models
