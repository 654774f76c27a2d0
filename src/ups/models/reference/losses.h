// Losses and metrics of the reference system (golden README 5 and 7). Means run over all elements; p = prediction, y = target.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "ups/models/reference/latent_operator.h"

namespace ups::models::reference {

struct LossParts {
  Tensor total;                                       // 0-dim, differentiable
  std::vector<std::pair<std::string, Tensor>> parts;  // by the reference's log names
};

// weight * mean (p - y)^2; also over [B,S,T,D] for roll-outs.
Tensor weighted_mse(const Tensor& p, const Tensor& y, double weight = 1.0);
// weight * mean (|P_k| - |Y_k|)^2 with P = rfft over the feature axis, unnormalised, one-sided. d|P|/dP = 0 at 0.
Tensor spectral_magnitude_loss(const Tensor& p, const Tensor& y, double weight = 0.05);
// |e_p - e_y| / (e_y + 1e-8), e = mean |rfft over `axis`|^2, one-sided; at least fp32. axis 1 = tokens, -1 = features.
Tensor spectral_energy_error(const Tensor& p, const Tensor& y, int64_t axis = 1);
// sqrt( mean (p-y)^2 / (mean y^2 + 1e-8) ).
Tensor nrmse(const Tensor& p, const Tensor& y);
// weight * mean over (B,T) of (mean_D p - mean_D y)^2.
Tensor feature_mean_loss(const Tensor& p, const Tensor& y, double weight = 1.0);
// weight * mean over (B,edges,D) of |p[:,src] - p[:,dst]|; edges [E,2] int64, self edges count with 0.
Tensor edge_total_variation(const Tensor& p, const Tensor& edges, double weight = 1.0);
// mean over (B,T) of |sum_D p - sum_D y|.
Tensor conservation_gap(const Tensor& p, const Tensor& y);
Tensor mae(const Tensor& p, const Tensor& y);

struct OperatorLossWeights {
  double forward = 1.0, spectral = 0.05, rollout = 0.0;
};
// L_forward + L_spec (+ L_rollout when `future` [B,S,T,D] is defined and its weight > 0); parts carry their weight.
LossParts operator_loss(const LatentOperator& model, const Tensor& z, const Tensor& dt, const Tensor& target,
                        const OperatorLossWeights& weights, const Conditions& conditions = {}, const Tensor& future = {});

struct CorrectorLossWeights {
  double spectral = 0.05, relative = 0.0;
};
// mse + spectral * E (+ relative * R) of a predicted residual; the parts mse, spectral_energy, nrmse are unweighted.
LossParts corrector_loss(const Tensor& drift, const Tensor& residual_target, const CorrectorLossWeights& weights);

using DriftFn = std::function<Tensor(const Tensor& z, const Tensor& tau)>;
// Every sample with every tau: mean ((z + drift(z, tau)) - z)^2; z [b,T,D], taus [n].
Tensor consistency_chunk_loss(const DriftFn& drift, const Tensor& z, const Tensor& taus);
// The batch in chunks of micro_batch, row c of `taus` [chunks, n] for chunk c, weighted by chunk size / batch.
Tensor consistency_loss(const DriftFn& drift, const Tensor& z, const Tensor& taus, int64_t micro_batch);
// weight * mean (or sum) over taus of mse(z + student, stopgrad(z + teacher)); every tau is shared by all samples.
Tensor distill_generic_loss(const DriftFn& student, const DriftFn& teacher, const Tensor& z, const std::vector<double>& taus,
                            double weight, bool normalize);

// Weight of an inverse loss in an epoch: 0, then a linear ramp over the second warm-up, then the base; never above the cap.
double curriculum_weight(int64_t epoch, double base, int64_t warmup_epochs, double cap);

}  // namespace ups::models::reference
