// Stage `operator`: the time stepper. Loss in units of persistence: 1 = no better than repeating the state, 0.01 = 1 % of the step.
//
//   loss = mean_i |z^ - z'|_i / |z'|_i / P,  z^ = z + s_D f(z),  P = the same for z^ = z, averaged over the train split
// Objective mse (PDEBench's FNO recipe) sums mean |z^ - z'|^2 over the steps instead.
// Relative to the state, not to the change: Burgers nu .01, 60 CPU-s, rollout nRMSE .0042 against .0079 (change) and .022 (MSE).
#pragma once
#include <cmath>

#include "ups/models/field_operator.h"
#include "ups/stages/field_space.h"
#include "ups/stages/options.h"

namespace ups::stages {

struct OperatorLossOptions {
  RolloutOptions rollout;
  double lambda_spectral = 0, lambda_relative = 0, lambda_rollout = 0;
  int64_t rollout_horizon = 1;
  int64_t context = 1;         // frames that the network sees
  bool squared_error = false;  // objective mse
};

class FieldOperatorStage : public train::Stage {
 public:
  FieldOperatorStage(FieldSpace& space, std::unique_ptr<models::FieldOperator> model, OperatorLossOptions options, int64_t initial_step,
                     std::string key = "operator");
  std::string key() const override { return key_; }  // the equal-compute control has its own
  models::Module& module() override { return *model_; }
  models::FieldOperator& model() { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;
  int64_t window() const;  // frames per sample

 private:
  FieldSpace& space_;
  std::unique_ptr<models::FieldOperator> model_;
  OperatorLossOptions options_;
  std::string key_;
  HeldOut held_out_;
};

// Rollout nRMSE (mean over frames) and one-step nRMSE of any stepper over held-out trajectories, physical units; 1e300 if it blows up.
struct RolloutScores {
  double rollout = 0, one_step = 0, persistence = 0;
};
// step: models::seen_frames with that context -> next frame.
template <class Step>
RolloutScores score_rollout(const FieldSpace& space, const HeldOut& h, Step&& step, int64_t context = 1) {
  RolloutScores s;
  const int64_t frames = h.fields.size(1);
  at::Tensor seen = models::seen_frames(h.fields, h.first, context);
  const at::Tensor start = space.physical(h.fields.select(1, h.first));
  double n = 0;
  for (int64_t t = h.first + 1; t < frames; ++t) {
    const at::Tensor before = models::seen_frames(h.fields, t - 1, context), truth = space.physical(h.fields.select(1, t));
    const at::Tensor z = step(seen);
    seen = models::slide(seen, z);
    s.rollout += physical_nrmse(space.physical(z), truth);
    s.one_step += physical_nrmse(space.physical(step(before)), truth);
    s.persistence += physical_nrmse(start, truth);
    n += 1;
  }
  const auto mean = [n](double sum) { return std::isfinite(sum) ? sum / n : 1e300; };
  return {mean(s.rollout), mean(s.one_step), mean(s.persistence)};
}

}  // namespace ups::stages
