// Stage `steady_prior` with objective attractor: the states that a chaotic system visits, p(u | PDE parameters), by flow matching from
// noise without any other condition. Every frame of the set counts as a draw, so its times must all be late.
#pragma once
#include "ups/stages/steady_stage.h"

namespace ups::stages {

class AttractorStage : public train::Stage {
 public:
  AttractorStage(FieldSpace& space, std::unique_ptr<models::SteadyField> model);
  std::string key() const override { return "steady_prior"; }
  models::Module& module() override { return *model_; }
  models::SteadyField& model() { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;  // the loss on held-out frames with the same noise every time

 private:
  FieldSpace& space_;
  std::unique_ptr<models::SteadyField> model_;
  at::Tensor held_out_, noise_, tau_noise_;  // [V, C, X..] normalised; [V]
  models::Condition condition_;
};

// Mean, the same in every cell, and RMS around it per channel over all frames of the train split, normalised units.
SteadyStatistics attractor_statistics(FieldSpace& space);

}  // namespace ups::stages
