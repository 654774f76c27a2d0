#include "ups/stages/reference_stages.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "ups/core/rng.h"

namespace ups::stages {
namespace {

at::Tensor state(const train::TensorBatch& b, int64_t t) { return b.fields.select(1, t); }
at::Tensor scalar_dt(double dt, const at::Tensor& like) { return at::full({}, dt, like.options()); }

// Marsaglia and Tsang's gamma variate; alpha < 1 by the power trick.
double gamma_variate(RandomStream& s, double alpha) {
  if (alpha < 1) return gamma_variate(s, alpha + 1) * std::pow(1.0 - s.uniform(), 1.0 / alpha);
  const double d = alpha - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
  for (;;) {
    const double x = s.normal(), t = 1 + c * x;
    if (t <= 0) continue;
    const double v = t * t * t;
    if (std::log(1.0 - s.uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v;
  }
}

template <class Draw>
TauDraw drawn(uint64_t stream, Draw draw) {
  return [stream, draw](int64_t n, uint64_t key) {
    RandomStream s(key, stream);
    at::Tensor t = at::empty({n}, at::kFloat);
    for (int64_t i = 0; i < n; ++i) t.data_ptr<float>()[i] = static_cast<float>(draw(s));
    return t;
  };
}

}  // namespace

TauDraw uniform_taus() {
  return drawn(21, [](RandomStream& s) { return s.uniform(); });
}
TauDraw beta_taus(double alpha, double beta) {
  return drawn(22, [alpha, beta](RandomStream& s) {
    const double a = gamma_variate(s, alpha), b = gamma_variate(s, beta);
    return a / (a + b);
  });
}

train::Loss ReferenceOperatorStage::loss_of(const train::TensorBatch& batch, const train::Prepared&) {
  const at::Tensor z0 = state(batch, 0);
  auto parts = models::reference::operator_loss(*model_, z0, scalar_dt(options_.dt, z0), state(batch, 1), {1.0, options_.lambda_spectral, 0.0});
  return {parts.total, {}};
}

train::Prepared ReferenceResidualStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  return {{{"tau", taus_(batch.size(), context.noise_key).to(batch.fields.options())}}, 0};
}

train::Loss ReferenceResidualStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const at::Tensor z0 = state(batch, 0);
  at::Tensor predicted, target;
  {
    const at::NoGradGuard no_grad;
    predicted = op_.forward(z0, scalar_dt(dt_, z0));
    target = state(batch, 1) - predicted;
  }
  return {models::reference::corrector_loss((*model_)(predicted, prepared.tensors.at("tau")), target, weights_).total, {}};
}

train::Prepared ReferenceConsistencyStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  const int64_t last = static_cast<int64_t>(tau_schedule_.size()) - 1;
  const int64_t count = tau_schedule_[static_cast<size_t>(std::min(context.epoch, last))];
  const int64_t chunks = (batch.size() + micro_batch_ - 1) / micro_batch_;
  std::vector<at::Tensor> rows;
  for (int64_t c = 0; c < chunks; ++c)
    rows.push_back(taus_(count, mix_seed(context.noise_key, static_cast<uint64_t>(c))).to(batch.fields.options()));
  return {{{"taus", at::stack(rows)}}, 0};
}

train::Loss ReferenceConsistencyStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const at::Tensor z0 = state(batch, 0);
  at::Tensor predicted;
  {
    const at::NoGradGuard no_grad;
    predicted = op_.forward(z0, scalar_dt(dt_, z0));
  }
  const auto drift = [this](const at::Tensor& z, const at::Tensor& tau) { return (*model_)(z, tau); };
  return {models::reference::consistency_loss(drift, predicted, prepared.tensors.at("taus"), micro_batch_), {}};
}

train::Loss ReferenceSteadyStage::loss_of(const train::TensorBatch& batch, const train::Prepared&) {
  return {models::reference::weighted_mse((*model_)(state(batch, 0)), state(batch, 1)), {}};
}

}  // namespace ups::stages
