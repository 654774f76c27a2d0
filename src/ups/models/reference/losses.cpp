#include "ups/models/reference/losses.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace ups::models::reference {

namespace {
Tensor at_least_fp32(const Tensor& t) { return t.scalar_type() == at::kDouble ? t : t.to(at::kFloat); }

Tensor energy(const Tensor& x, int64_t axis) {
  const Tensor c = at::view_as_real(at::fft_rfft(at_least_fp32(x), std::nullopt, axis));
  return c.pow(2).sum(-1).mean();
}
}  // namespace

Tensor weighted_mse(const Tensor& p, const Tensor& y, double weight) { return at::mse_loss(p, y) * weight; }

Tensor spectral_magnitude_loss(const Tensor& p, const Tensor& y, double weight) {
  const Tensor a = at::fft_rfft(at_least_fp32(p)).abs(), b = at::fft_rfft(at_least_fp32(y)).abs();
  return at::mse_loss(a, b) * weight;
}

Tensor spectral_energy_error(const Tensor& p, const Tensor& y, int64_t axis) {
  const Tensor ep = energy(p, axis), ey = energy(y, axis);
  return (ep - ey).abs() / (ey + 1e-8);
}

Tensor nrmse(const Tensor& p, const Tensor& y) {
  const Tensor ratio = at::mse_loss(p, y) / (y.pow(2).mean() + 1e-8);
  // The root's derivative at 0 is infinite and would turn 0 * inf into NaN: clamp_min gives gradient 0 there.
  return ratio.clamp_min(1e-37).sqrt();
}

Tensor feature_mean_loss(const Tensor& p, const Tensor& y, double weight) {
  return at::mse_loss(p.mean(-1), y.mean(-1)) * weight;
}

Tensor edge_total_variation(const Tensor& p, const Tensor& edges, double weight) {
  return (p.index_select(1, edges.select(1, 0)) - p.index_select(1, edges.select(1, 1))).abs().mean() * weight;
}

Tensor conservation_gap(const Tensor& p, const Tensor& y) { return (p.sum(-1) - y.sum(-1)).abs().mean(); }

Tensor mae(const Tensor& p, const Tensor& y) { return (p - y).abs().mean(); }

LossParts operator_loss(const LatentOperator& model, const Tensor& z, const Tensor& dt, const Tensor& target,
                        const OperatorLossWeights& weights, const Conditions& conditions, const Tensor& future) {
  const Tensor next = model.forward(z, dt, conditions);
  LossParts out;
  out.parts.emplace_back("L_forward", weighted_mse(next, target, weights.forward));
  if (future.defined() && weights.rollout > 0) {
    std::vector<Tensor> states;
    Tensor state = next;
    for (int64_t s = 0; s < future.size(1); ++s) {
      state = model.forward(state, dt, conditions);
      states.push_back(state);
    }
    out.parts.emplace_back("L_rollout", weighted_mse(at::stack(states, 1), future, weights.rollout));
  }
  if (weights.spectral > 0) out.parts.emplace_back("L_spec", spectral_magnitude_loss(next, target, weights.spectral));
  for (const auto& [name, value] : out.parts) out.total = out.total.defined() ? out.total + value : value;
  return out;
}

LossParts corrector_loss(const Tensor& drift, const Tensor& residual_target, const CorrectorLossWeights& weights) {
  LossParts out;
  out.total = weighted_mse(drift, residual_target);
  out.parts.emplace_back("mse", out.total);
  if (weights.spectral > 0) {
    out.parts.emplace_back("spectral_energy", spectral_energy_error(drift, residual_target));
    out.total = out.total + weights.spectral * out.parts.back().second;
  }
  if (weights.relative > 0) {
    out.parts.emplace_back("nrmse", nrmse(drift, residual_target));
    out.total = out.total + weights.relative * out.parts.back().second;
  }
  return out;
}

Tensor consistency_chunk_loss(const DriftFn& drift, const Tensor& z, const Tensor& taus) {
  const int64_t n = taus.size(0);
  const Tensor tiled = z.repeat_interleave(n, 0), tau = taus.repeat({z.size(0)});  // sample-major: row b*n + j has z_b, tau_j
  return ((tiled + drift(tiled, tau)) - tiled).pow(2).mean();                      // the sum is really formed, as the reference does
}

Tensor consistency_loss(const DriftFn& drift, const Tensor& z, const Tensor& taus, int64_t micro_batch) {
  const int64_t batch = z.size(0);
  Tensor total;
  for (int64_t c = 0, begin = 0; begin < batch; ++c, begin += micro_batch) {
    const int64_t size = std::min(micro_batch, batch - begin);
    const Tensor part = consistency_chunk_loss(drift, z.narrow(0, begin, size), taus.select(0, c)) *
                        (static_cast<double>(size) / static_cast<double>(batch));
    total = total.defined() ? total + part : part;
  }
  return total;
}

Tensor distill_generic_loss(const DriftFn& student, const DriftFn& teacher, const Tensor& z, const std::vector<double>& taus,
                            double weight, bool normalize) {
  Tensor total;
  for (const double t : taus) {
    const Tensor tau = at::full({z.size(0)}, t, z.options());
    Tensor goal;
    {
      const at::NoGradGuard no_grad;
      goal = z + teacher(z, tau);
    }
    const Tensor l = at::mse_loss(z + student(z, tau), goal);
    total = total.defined() ? total + l : l;
  }
  return total * (normalize ? weight / static_cast<double>(taus.size()) : weight);
}

double curriculum_weight(int64_t epoch, double base, int64_t warmup_epochs, double cap) {
  if (epoch < warmup_epochs) return 0.0;
  if (epoch >= 2 * warmup_epochs) return std::min(base, cap);
  return std::min(base * static_cast<double>(epoch - warmup_epochs) / static_cast<double>(warmup_epochs), cap);
}

}  // namespace ups::models::reference
