// Stage `consistency_distill`: a few-step student of a flow or edm corrector (distill_objective.h). A quarter of each batch anchors what the
// teacher could do, half of it the velocity and half the mean mode; the rest learns the objective, `draws` times.
#pragma once
#include "ups/stages/corrector_stage.h"
#include "ups/stages/distill_objective.h"

namespace ups::stages {

struct DistillOptions {
  int64_t draws = 1;
  double average_decay = 0.99;  // of the averaged student
  double target = 0;            // stop at this validation score
};

class DistillStage : public CorrectorStage {
 public:
  // The three correctors start with the teacher's weights.
  DistillStage(CorrectorSetting setting, const DistillObjective& objective, std::unique_ptr<models::Corrector> student,
               std::unique_ptr<models::Corrector> teacher, std::unique_ptr<models::Corrector> average, DistillOptions options);
  std::string key() const override { return "consistency_distill"; }
  std::string log_name() const override { return "consistency_distill"; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;  // fair CRPS of one-step samples
  void after_update(const at::Tensor& found_inf) override;
  std::vector<std::pair<std::string, at::Tensor>> extra_state() override { return average_->state(); }
  double target() const override { return distill_.target; }

 private:
  struct Split {
    int64_t mean, velocity, map;
  };
  static Split split(int64_t n);  // rows of a batch of n, in this order
  const DistillObjective& few_steps_;
  std::unique_ptr<models::Corrector> teacher_, average_;
  DistillOptions distill_;
};

}  // namespace ups::stages
