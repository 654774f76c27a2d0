// Stage `diff_residual`: the frozen operator's residual, as samples (residual_objective.h) and as a mean.
//
//   null-noise rows (null_token_share): x = 0, tau = 1, s = -1: mean_i |s_r (r^ + u)|_i / |z'|_i in units of the operator's error
// This is the deterministic `mean` mode; it is judged like the operator and brings nearly the whole nRMSE gain. The other rows learn the
// objective.
#pragma once
#include "ups/stages/residual_objective.h"

namespace ups::stages {

// What corrector and distillation stages borrow and were told.
struct CorrectorSetting {
  FieldSpace& space;
  const models::FieldOperator& op;  // frozen; the caller loads the weights it should have (the averaged best)
  const ResidualObjective& objective;
  CorrectorOptions options;
  int64_t initial_step = 1;
  double operator_error = 1;  // residual_relative()
};

class CorrectorStage : public train::Stage {
 public:
  CorrectorStage(CorrectorSetting setting, std::unique_ptr<models::Corrector> model);
  std::string key() const override { return "diff_residual"; }
  std::string log_name() const override { return "diffusion_residual"; }
  models::Module& module() override { return *model_; }
  models::Corrector& model() { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  // One-step nRMSE of the mean mode; fair CRPS of samples when no row trains that mode.
  train::Validation validate() override;

 protected:
  // The draws of rows() and of losses() with that many rows for the objective.
  void draw_rows(const train::TensorBatch& batch, uint64_t key, int64_t sample_rows, train::Prepared& out) const;
  ResidualRows rows(const train::TensorBatch& batch, const train::Prepared& prepared) const;
  // Of the mean mode on the first `mean` rows and of the objective on the others, both from one call of the network; undefined without
  // rows.
  struct Losses {
    at::Tensor mean_mode, objective;
  };
  Losses losses(const ResidualRows& rows, int64_t mean, const train::Prepared& prepared) const;
  at::Tensor tail_weight(const ResidualRows& rows) const;  // [B]
  std::vector<std::pair<std::string, double>> mean_scores() const;

  CorrectorSetting setting_;
  std::unique_ptr<models::Corrector> model_;
  HeldOut held_out_;
};

}  // namespace ups::stages
