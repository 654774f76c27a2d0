#include "ups/stages/steady_stage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "ups/core/rng.h"

namespace ups::stages {
namespace {

constexpr int64_t kValidationSamples = 64;

// One of the eight symmetries of the square, applied to the last two axes.
at::Tensor symmetry(const at::Tensor& x, uint64_t which) {
  at::Tensor y = x;
  if (which & 1) y = y.flip({-1});
  if (which & 2) y = y.flip({-2});
  if (which & 4) y = y.transpose(-1, -2);
  return y.contiguous();
}

}  // namespace

at::Tensor flow_loss(const models::SteadyField& model, const at::Tensor& y, const at::Tensor& coeff, const models::Condition& condition,
                     const at::Tensor& noise, const at::Tensor& tau_noise) {
  const at::Tensor tau = at::sigmoid(tau_noise), t = along(tau, y), x = (1 - t) * y + t * noise;
  const at::Tensor v = model.velocity(x, coeff, condition, tau, at::zeros_like(tau));
  return (v - (noise - y)).square().mean();
}

SteadyStatistics steady_statistics(FieldSpace& space) {
  const auto& info = space.info();
  const int64_t cells = info.cells(), frame = info.channels * cells;
  std::vector<double> sum(static_cast<size_t>(frame), 0), square(static_cast<size_t>(frame), 0);
  std::vector<float> u(static_cast<size_t>(frame));
  const auto& members = space.dataset->members(data::Split::train);
  for (int64_t trajectory : members) {
    space.dataset->read(trajectory, 0, 1, u);
    space.normalizer.apply(u, info.channels, cells);
    for (size_t i = 0; i < u.size(); ++i) {
      sum[i] += static_cast<double>(u[i]);
      square[i] += static_cast<double>(u[i]) * static_cast<double>(u[i]);
    }
  }
  const double n = static_cast<double>(std::max<size_t>(1, members.size()));
  std::vector<int64_t> shape{1, info.channels};
  shape.insert(shape.end(), info.grid.begin(), info.grid.end());
  SteadyStatistics out{at::empty(shape, at::kFloat), {}};
  for (int64_t c = 0; c < info.channels; ++c) {
    double variance = 0;
    for (int64_t i = 0; i < cells; ++i) {
      const size_t k = static_cast<size_t>(c * cells + i);
      const double m = sum[k] / n;
      out.mean_field.data_ptr<float>()[k] = static_cast<float>(m);
      variance += square[k] / n - m * m;
    }
    out.rms.push_back(std::max(1e-6, std::sqrt(std::max(0.0, variance / static_cast<double>(cells)))));
  }
  out.mean_field = out.mean_field.to(space.device);
  return out;
}

SteadyFlowStage::SteadyFlowStage(FieldSpace& space, std::unique_ptr<models::SteadyField> model, double null_token_share, bool augment)
    : space_(space),
      model_(std::move(model)),
      null_share_(null_token_share),
      augment_(augment && space.info().grid.size() == 2 && space.info().grid[0] == space.info().grid[1]),
      held_out_(hold_out(space, data::Split::val, kValidationSamples, 1)) {}

int64_t SteadyFlowStage::null_rows(int64_t n) const {
  return std::clamp<int64_t>(std::llround(null_share_ * static_cast<double>(n)), 0, n);
}

train::Prepared SteadyFlowStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  at::Tensor& z = p.tensors["z"] = batch.fields.select(1, 0);
  at::Tensor& coeff = p.tensors["coeff"] = batch.coeff;
  if (augment_) {
    const uint64_t which = mix_seed(context.noise_key, 9) % 8;
    z = symmetry(z, which);
    coeff = symmetry(coeff, which);
  }
  if (const int64_t m = batch.size() - null_rows(batch.size()); m > 0) {
    p.tensors["noise"] = models::noise_like(z.narrow(0, 0, m), mix_seed(context.noise_key, 1));
    p.tensors["tau_noise"] = models::noise_like(at::empty({m}, z.options()), mix_seed(context.noise_key, 2));
  }
  return p;
}

train::Loss SteadyFlowStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const int64_t n = batch.size(), null_rows = this->null_rows(n);
  const at::Tensor truth = model_->whiten(prepared.tensors.at("z")), coeff = prepared.tensors.at("coeff");
  const models::Condition condition = condition_of(space_, batch);
  const auto cut = [&](const at::Tensor& t, int64_t first, int64_t count) { return t.defined() ? t.narrow(0, first, count) : t; };
  const auto conditions = [&](int64_t first, int64_t count) {
    models::Condition c;
    c.dt = cut(condition.dt, first, count);
    c.params = cut(condition.params, first, count);
    c.boundary = cut(condition.boundary, first, count);
    return c;
  };
  train::Loss out;
  if (null_rows > 0) {
    const at::Tensor y = cut(truth, 0, null_rows), one = at::ones({null_rows}, y.options());
    const at::Tensor predicted = -model_->velocity(at::zeros_like(y), cut(coeff, 0, null_rows), conditions(0, null_rows), one, -one);
    const at::Tensor l = relative_error(predicted - y, y);
    out.parts.emplace_back("mean_mode", l.detach());
    out.total = l * (static_cast<double>(null_rows) / static_cast<double>(n));
  }
  if (null_rows < n) {
    const int64_t m = n - null_rows;
    const at::Tensor l = flow_loss(*model_, cut(truth, null_rows, m), cut(coeff, null_rows, m), conditions(null_rows, m),
                                   prepared.tensors.at("noise"), prepared.tensors.at("tau_noise"));
    out.parts.emplace_back("flow", l.detach());
    const at::Tensor share = l * (static_cast<double>(m) / static_cast<double>(n));
    out.total = out.total.defined() ? out.total + share : share;
  }
  return out;
}

train::Validation SteadyFlowStage::validate() {
  const at::Tensor truth = space_.physical(held_out_.fields.select(1, 0));
  const double error = physical_nrmse(space_.physical(model_->mean_solution(held_out_.coeff, held_out_.condition)), truth);
  const double climatology = physical_nrmse(space_.physical(model_->unwhiten(at::zeros_like(held_out_.fields.select(1, 0)))), truth);
  return {std::isfinite(error) ? error : 1e300, {{"nrmse", error}, {"climatology_nrmse", climatology}}};
}

}  // namespace ups::stages
