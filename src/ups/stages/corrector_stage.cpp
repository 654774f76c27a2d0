#include "ups/stages/corrector_stage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "ups/stages/operator_stage.h"
#include "ups/stages/sample_scores.h"

namespace ups::stages {
namespace {

// Which rows are null-noise rows is decided by their place: batches are shuffled, and a fixed share has less variance.
int64_t mean_rows(double share, int64_t n) { return std::clamp<int64_t>(std::llround(share * static_cast<double>(n)), 0, n); }

}  // namespace

CorrectorStage::CorrectorStage(CorrectorSetting setting, std::unique_ptr<models::Corrector> model)
    : setting_(std::move(setting)),
      model_(std::move(model)),
      held_out_(hold_out(setting_.space, data::Split::val, kValidationTrajectories, setting_.initial_step)) {}

void CorrectorStage::draw_rows(const train::TensorBatch& batch, uint64_t key, int64_t sample_rows, train::Prepared& out) const {
  draw_own_states(setting_.options, batch, key, out);
  if (sample_rows > 0) setting_.objective.draw(batch.fields.select(1, 0).narrow(0, 0, sample_rows), key, out);
}

ResidualRows CorrectorStage::rows(const train::TensorBatch& batch, const train::Prepared& prepared) const {
  return residual_rows(setting_.space, setting_.op, *model_, setting_.options, batch, prepared);
}

at::Tensor CorrectorStage::mean_loss(const ResidualRows& r) const {
  const at::Tensor predicted = model_->mean_residual(r.z, r.z_op, r.condition);
  return relative_error(model_->scale() * (predicted - r.r), r.target) / setting_.operator_error;
}

at::Tensor CorrectorStage::objective_loss(const ResidualRows& r, const train::Prepared& prepared) const {
  const at::Tensor loss = setting_.objective.loss(*model_, r, prepared);
  return (setting_.objective.squared() ? loss * tail_weight(r) : loss).mean();
}

// Residuals are heavy-tailed: fast-moving states have ones many times their RMS, and their squares would drown every other row (and,
// through the clipped norm, the mean mode). A weight that depends on the condition only does not move the minimiser.
at::Tensor CorrectorStage::tail_weight(const ResidualRows& r) const {
  const at::Tensor moved = sample_norm((r.z_op - r.z) / setting_.space.delta_scale).square() / static_cast<double>(r.z.numel() / r.z.size(0));
  return 0.25 / (0.25 + moved);
}

train::Prepared CorrectorStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  draw_rows(batch, context.noise_key, batch.size() - mean_rows(setting_.options.null_token_share, batch.size()), p);
  return p;
}

train::Loss CorrectorStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const ResidualRows all = rows(batch, prepared);
  const int64_t n = batch.size(), first = mean_rows(setting_.options.null_token_share, n);
  train::Loss out;
  if (first > 0) {
    const at::Tensor l = mean_loss(all.part(0, first));
    out.parts.emplace_back("mean_mode", l.detach());
    out.total = l * (static_cast<double>(first) / static_cast<double>(n));
  }
  if (first < n) {
    const at::Tensor l = objective_loss(all.part(first, n - first), prepared);
    out.parts.emplace_back(setting_.objective.name(), l.detach());
    const at::Tensor share = l * (static_cast<double>(n - first) / static_cast<double>(n));
    out.total = out.total.defined() ? out.total + share : share;
  }
  return out;
}

std::vector<std::pair<std::string, double>> CorrectorStage::mean_scores() const {
  const auto& c = held_out_.condition;
  const auto alone = score_rollout(setting_.space, held_out_, [&](const at::Tensor& z) { return setting_.op.step(z, c); });
  const auto corrected = score_rollout(setting_.space, held_out_, [&](const at::Tensor& z) {
    const at::Tensor z_op = setting_.op.step(z, c);
    return apply_correction(*model_, setting_.options, z, z_op, model_->mean_residual(z, z_op, c));
  });
  return {{"one_step_nrmse", corrected.one_step}, {"rollout_nrmse", corrected.rollout}, {"operator_one_step_nrmse", alone.one_step},
          {"operator_rollout_nrmse", alone.rollout}};
}

train::Validation CorrectorStage::validate() {
  if (setting_.options.null_token_share > 0) {
    const auto scores = mean_scores();
    return {scores[0].second, scores};
  }
  const SampleScores s = score_samples(held_out_, setting_.op, *model_, [&](const ResidualRows& r, const NoiseOf& noise) {
    return setting_.objective.sample(*model_, r.z, r.z_op, r.condition, noise, {});
  });
  return {finite_score(s.crps()), {{"crps", s.crps()}, {"spread_skill", s.spread_skill()}}};
}

}  // namespace ups::stages
