// Stage `steady_prior`: steady solution from coefficients. Flow matching plus null-noise rows whose `mean` mode is the regression.
#pragma once
#include "ups/models/field_operator.h"
#include "ups/stages/field_space.h"

namespace ups::stages {

class SteadyFlowStage : public train::Stage {
 public:
  // augment: random symmetries of the square on square grids without parameters of direction.
  SteadyFlowStage(FieldSpace& space, std::unique_ptr<models::SteadyField> model, double null_token_share, bool augment);
  std::string key() const override { return "steady_prior"; }
  models::Module& module() override { return *model_; }
  models::SteadyField& model() { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;

 private:
  int64_t null_rows(int64_t n) const;  // of a batch of n
  FieldSpace& space_;
  std::unique_ptr<models::SteadyField> model_;
  double null_share_;
  bool augment_;
  HeldOut held_out_;
};

// Flow matching towards whitened fields y [B, C, X..]: x = (1 - tau) y + tau noise, v-target, tau = sigmoid(tau_noise [B]). coeff may be
// undefined.
at::Tensor flow_loss(const models::SteadyField& model, const at::Tensor& y, const at::Tensor& coeff, const models::Condition& condition,
                     const at::Tensor& noise, const at::Tensor& tau_noise);

// Mean field [1, C, X..] and RMS of the remainder per channel over the train split, normalised units.
struct SteadyStatistics {
  at::Tensor mean_field;
  std::vector<double> rms;
};
SteadyStatistics steady_statistics(FieldSpace& space);

}  // namespace ups::stages
