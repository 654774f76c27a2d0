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

CorrectorStage::Losses CorrectorStage::losses(const ResidualRows& all, int64_t mean, const train::Prepared& prepared) const {
  const int64_t n = all.z.size(0);
  const ResidualRows first = all.part(0, mean), rest = all.part(mean, n - mean);
  const auto token = [&](double value) { return models::per_sample(first.z, value); };
  ResidualRows seen = all;
  at::Tensor x = at::zeros_like(first.z), tau = token(1.0), step = token(-1.0);
  if (mean < n) {
    const Question q = setting_.objective.ask(rest, prepared);
    for (int64_t copy = 1; copy < q.copies; ++copy) seen = seen.followed_by(rest);
    x = at::cat({x, q.x});
    tau = at::cat({tau, q.tau});
    step = at::cat({step, at::zeros_like(q.tau)});
  }
  const at::Tensor answer = model_->network(x, seen.z, seen.z_op, seen.condition, tau, step);
  Losses out;
  if (mean > 0)
    out.mean_mode = relative_error(model_->scale() * (-answer.narrow(0, 0, mean) - first.r), first.target) / setting_.operator_error;
  if (mean == n) return out;
  const at::Tensor loss = setting_.objective.loss(rest, prepared, answer.narrow(0, mean, answer.size(0) - mean));
  out.objective = (setting_.objective.squared() ? loss * tail_weight(rest) : loss).mean();
  return out;
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
  const int64_t n = batch.size(), mean = mean_rows(setting_.options.null_token_share, n);
  const Losses l = losses(rows(batch, prepared), mean, prepared);
  train::Loss out;
  const auto add = [&](const std::string& name, const at::Tensor& loss, int64_t count) {
    if (!loss.defined()) return;
    out.parts.emplace_back(name, loss.detach());
    const at::Tensor share = loss * (static_cast<double>(count) / static_cast<double>(n));
    out.total = out.total.defined() ? out.total + share : share;
  };
  add("mean_mode", l.mean_mode, mean);
  add(setting_.objective.name(), l.objective, n - mean);
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
