// Stages `diff_residual` and `consistency_distill`: a flow model of the frozen operator's residual, and its few-step student.
//
//   r = (z' - z_op) / s_r,  x = (1 - tau) r + tau eps,  tau = sigmoid(N(0, 1)):  | u(x, tau, 0) - (eps - r) |^2
//   null-noise rows (null_token_share): x = 0, tau = 1, s = -1: mean_i |s_r (r^ + u)|_i / |z'|_i in units of the operator's error
// The second term is the deterministic `mean` mode; it is judged like the operator and brings nearly the whole nRMSE gain.
#pragma once
#include "ups/models/field_operator.h"
#include "ups/stages/field_space.h"

namespace ups::stages {

struct CorrectorOptions {
  double null_token_share = 0.3;
  double gate = 3.0;                    // no correction where the operator's step is below gate * s_r; 0 = always correct
  double rollout_mix = 0;               // share of rows whose input is a state after one operator step
  std::vector<int64_t> conserved;       // channels whose mean the correction must not change
  std::vector<int64_t> distill_steps{8, 4, 2, 1};
};

// z_op + gated s_r r, channels in `conserved` with their mean restored.
at::Tensor apply_correction(const models::Corrector& corrector, const CorrectorOptions& options, const at::Tensor& z,
                            const at::Tensor& z_op, at::Tensor residual);

// RMS per channel of the operator's one-step residual over held-out trajectories, normalised units.
std::vector<double> residual_rms(const HeldOut& held_out, const models::FieldOperator& op);
// Mean over held-out windows of |z_op - z'| / |z'|.
double residual_relative(const HeldOut& held_out, const models::FieldOperator& op);

class ResidualFlowStage : public train::Stage {
 public:
  // op is frozen; the caller loads the weights it should have (the averaged best).
  ResidualFlowStage(FieldSpace& space, const models::FieldOperator& op, std::unique_ptr<models::Corrector> model, CorrectorOptions options,
                    int64_t initial_step, double operator_error);
  std::string key() const override { return "diff_residual"; }
  std::string log_name() const override { return "diffusion_residual"; }
  models::Module& module() override { return *model_; }
  models::Corrector& model() { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;

 protected:
  struct Rows {
    at::Tensor z, z_op, target, r;
    models::Condition condition;
  };
  // The draws that rows() and flow_loss() of `flow_rows` rows take from the prepared tensors.
  void draw_rows(const train::TensorBatch& batch, uint64_t key, int64_t flow_rows, train::Prepared& out) const;
  Rows rows(const train::TensorBatch& batch, const train::Prepared& prepared) const;
  // Mean-mode loss of all given rows.
  at::Tensor mean_loss(const Rows& rows) const;
  at::Tensor flow_loss(const Rows& rows, const train::Prepared& prepared) const;
  at::Tensor flow_weight(const Rows& rows) const;  // [B]
  static Rows part(const Rows& rows, int64_t first, int64_t count);

  int64_t null_rows(int64_t n) const;  // of a batch of n

  FieldSpace& space_;
  const models::FieldOperator& op_;
  std::unique_ptr<models::Corrector> model_;
  CorrectorOptions options_;
  HeldOut held_out_;
  double operator_error_;
};

// Shortcut distillation (stages.md 6.1): flow-map rows learn the average of two half steps of the averaged student (of the frozen
// teacher for the smallest step), anchor rows keep the velocity and the mean mode alive.
class ShortcutStage : public ResidualFlowStage {
 public:
  ShortcutStage(FieldSpace& space, const models::FieldOperator& op, std::unique_ptr<models::Corrector> student,
                   std::unique_ptr<models::Corrector> teacher, std::unique_ptr<models::Corrector> average, CorrectorOptions options,
                   int64_t initial_step, double operator_error, int64_t draws, double average_decay, double target);
  std::string key() const override { return "consistency_distill"; }
  std::string log_name() const override { return "consistency_distill"; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;
  void after_update(const at::Tensor& found_inf) override;
  std::vector<std::pair<std::string, at::Tensor>> extra_state() override { return average_->state(); }
  double target() const override { return target_; }

 private:
  struct Split {
    int64_t mean, flow, shortcut;
  };
  static Split split(int64_t n);  // rows of a batch of n, in this order
  // sizes: how many step sizes there are, the smallest first. random: one draw's uniform numbers and noise.
  struct Random {
    at::Tensor uniform, noise;
  };
  at::Tensor shortcut_loss(const Rows& rows, int64_t sizes, const Random& random) const;
  std::unique_ptr<models::Corrector> teacher_, average_;
  int64_t draws_;
  double decay_, target_;
};

}  // namespace ups::stages
