// The reference system's four stages with its own losses, for the one trainer (StageSettings::reference_semantics gives its loop rules).
// Their batches hold latent states: TensorBatch::fields is [B, 2, T, D], states at t and t + dt. Formulas: tests/golden/ups, README 5, 7, 9.
#pragma once
#include <functional>
#include <memory>

#include "ups/models/reference/latent_operator.h"
#include "ups/models/reference/losses.h"
#include "ups/models/reference/residual_models.h"
#include "ups/train/stage.h"

namespace ups::stages {

// n noise levels in (0, 1) for the call with this key; drawn in consumption order.
using TauDraw = std::function<at::Tensor(int64_t n, uint64_t key)>;
// Uniform, or Beta(alpha, beta), keyed.
TauDraw uniform_taus();
TauDraw beta_taus(double alpha, double beta);

struct ReferenceOperatorOptions {
  double dt = 0.1, lambda_spectral = 0.05;
};
class ReferenceOperatorStage : public train::Stage {
 public:
  ReferenceOperatorStage(std::unique_ptr<models::reference::LatentOperator> model, ReferenceOperatorOptions options)
      : model_(std::move(model)), options_(options) {}
  std::string key() const override { return "operator"; }
  models::Module& module() override { return *model_; }
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override { return {}; }

 private:
  std::unique_ptr<models::reference::LatentOperator> model_;
  ReferenceOperatorOptions options_;
};

// Regression of z1 - operator(z0) from operator(z0) and a tau that no noise belongs to.
class ReferenceResidualStage : public train::Stage {
 public:
  ReferenceResidualStage(const models::reference::LatentOperator& op, std::unique_ptr<models::reference::DiffusionResidual> model, double dt,
                         models::reference::CorrectorLossWeights weights, TauDraw taus)
      : op_(op), model_(std::move(model)), dt_(dt), weights_(weights), taus_(std::move(taus)) {}
  std::string key() const override { return "diff_residual"; }
  std::string log_name() const override { return "diffusion_residual"; }
  models::Module& module() override { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override { return {}; }

 private:
  const models::reference::LatentOperator& op_;
  std::unique_ptr<models::reference::DiffusionResidual> model_;
  double dt_;
  models::reference::CorrectorLossWeights weights_;
  TauDraw taus_;
};

// mean drift^2: the reference's consistency objective, which drives the corrector to zero.
class ReferenceConsistencyStage : public train::Stage {
 public:
  ReferenceConsistencyStage(const models::reference::LatentOperator& op, std::unique_ptr<models::reference::DiffusionResidual> model, double dt,
                            std::vector<int64_t> tau_schedule, int64_t micro_batch, double target, TauDraw taus)
      : op_(op), model_(std::move(model)), dt_(dt), tau_schedule_(std::move(tau_schedule)), micro_batch_(micro_batch), target_(target), taus_(std::move(taus)) {}
  std::string key() const override { return "consistency_distill"; }
  models::Module& module() override { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override { return {}; }
  double target() const override { return target_; }
  bool accumulates() const override { return false; }
  bool exports_last_average() const override { return true; }

 private:
  const models::reference::LatentOperator& op_;
  std::unique_ptr<models::reference::DiffusionResidual> model_;
  double dt_;
  std::vector<int64_t> tau_schedule_;
  int64_t micro_batch_;
  double target_;
  TauDraw taus_;
};

class ReferenceSteadyStage : public train::Stage {
 public:
  explicit ReferenceSteadyStage(std::unique_ptr<models::reference::SteadyPrior> model) : model_(std::move(model)) {}
  std::string key() const override { return "steady_prior"; }
  models::Module& module() override { return *model_; }
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override { return {}; }

 private:
  std::unique_ptr<models::reference::SteadyPrior> model_;
};

}  // namespace ups::stages
