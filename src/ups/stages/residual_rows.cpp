#include "ups/stages/residual_rows.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/rng.h"
#include "ups/models/autocast.h"

namespace ups::stages {
namespace {

template <class F>
void for_each_window(const HeldOut& h, F&& f) {
  for (int64_t t = 0; t + 1 < h.fields.size(1); ++t) f(h.fields.select(1, t), h.fields.select(1, t + 1));
}

}  // namespace

ResidualRows ResidualRows::part(int64_t first, int64_t count) const {
  const auto cut = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, first, count) : t; };
  return {cut(z), cut(z_op), cut(target), cut(r), {cut(condition.dt), cut(condition.params), cut(condition.boundary), {}, {}}};
}

ResidualRows ResidualRows::followed_by(const ResidualRows& rest) const {
  const auto both = [](const at::Tensor& a, const at::Tensor& b) { return a.defined() ? at::cat({a, b}) : a; };
  const models::Condition &c = condition, &d = rest.condition;
  return {both(z, rest.z), both(z_op, rest.z_op), {}, {}, {both(c.dt, d.dt), both(c.params, d.params), both(c.boundary, d.boundary), {}, {}}};
}

void draw_own_states(const CorrectorOptions& options, const train::TensorBatch& batch, uint64_t key, train::Prepared& out) {
  if (options.rollout_mix > 0 && batch.fields.size(1) > 2)
    out.tensors["own"] = models::uniform_like({batch.size()}, mix_seed(key, 7), batch.fields.options());
}

ResidualRows residual_rows(const FieldSpace& space, const models::FieldOperator& op, const models::Corrector& corrector,
                           const CorrectorOptions& options, const train::TensorBatch& batch, const train::Prepared& prepared) {
  const at::NoGradGuard no_grad;
  // The residual is far below the resolution of 16-bit types: the operator runs in full precision.
  const models::AutocastGuard full_precision(batch.fields.device().type(), false, at::kFloat);
  ResidualRows r;
  r.condition = condition_of(space, batch);
  r.z = batch.fields.select(1, 0);
  r.target = batch.fields.select(1, 1);
  r.z_op = op.step(r.z, r.condition);
  if (const auto drawn = prepared.tensors.find("own"); drawn != prepared.tensors.end()) {
    const at::Tensor own = along(drawn->second < options.rollout_mix, r.z);
    const at::Tensor later = op.step(r.z_op, r.condition);
    r.target = at::where(own, batch.fields.select(1, 2), r.target);
    r.z = at::where(own, r.z_op, r.z);
    r.z_op = at::where(own, later, r.z_op);
  }
  r.r = (r.target - r.z_op) / corrector.scale();
  return r;
}

at::Tensor apply_correction(const models::Corrector& corrector, const CorrectorOptions& options, const at::Tensor& z,
                            const at::Tensor& z_op, at::Tensor residual) {
  at::Tensor change = corrector.scale() * residual;
  for (int64_t c : options.conserved) {
    at::Tensor channel = change.select(1, c);
    change = change.clone();
    change.select(1, c).copy_(channel - along(channel.flatten(1).mean(1), channel));
  }
  if (options.gate > 0) {
    // Sampling noise puts energy into states that hardly move any more: no correction there.
    const at::Tensor moved = ((z_op - z) / corrector.scale()).flatten(1).square().mean(1).sqrt();
    change = at::where(along(moved < options.gate, change), at::zeros_like(change), change);
  }
  return z_op + change;
}

std::vector<double> residual_rms(const HeldOut& h, const models::FieldOperator& op) {
  const at::NoGradGuard no_grad;
  at::Tensor square = at::zeros({h.fields.size(2)}, at::TensorOptions().dtype(at::kDouble).device(h.fields.device()));
  int64_t windows = 0;
  for_each_window(h, [&](const at::Tensor& z, const at::Tensor& next) {
    square += (next - op.step(z, h.condition)).transpose(0, 1).flatten(1).to(at::kDouble).square().mean(1);
    ++windows;
  });
  std::vector<double> out;
  for (int64_t c = 0; c < square.size(0); ++c)
    out.push_back(std::max(1e-9, std::sqrt(square[c].item<double>() / static_cast<double>(std::max<int64_t>(1, windows)))));
  return out;
}

double residual_relative(const HeldOut& h, const models::FieldOperator& op) {
  const at::NoGradGuard no_grad;
  double sum = 0, n = 0;
  for_each_window(h, [&](const at::Tensor& z, const at::Tensor& next) {
    sum += relative_error(op.step(z, h.condition) - next, next).item<double>();
    n += 1;
  });
  return std::max(1e-12, sum / std::max(1.0, n));
}

}  // namespace ups::stages
