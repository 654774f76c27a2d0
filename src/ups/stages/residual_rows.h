// What corrector stages train on: the frozen operator's residual r = (z' - z_op) / s_r, its scale, and how it goes back onto the state.
#pragma once
#include "ups/models/corrector.h"
#include "ups/stages/field_space.h"

namespace ups::stages {

struct CorrectorOptions {
  double null_token_share = 0.3;
  double gate = 3.0;                    // no correction where the operator's step is below gate * s_r; 0 = always correct
  double rollout_mix = 0;               // share of rows whose input is a state after one operator step
  std::vector<int64_t> conserved;       // channels whose mean the correction must not change
};

struct ResidualRows {
  at::Tensor z, z_op, target, r;  // [B, C, X..]
  models::Condition condition;
  ResidualRows part(int64_t first, int64_t count) const;
  ResidualRows followed_by(const ResidualRows& rest) const;  // z, z_op and condition only: what the network sees
};

// Random numbers that residual_rows() takes from the prepared tensors.
void draw_own_states(const CorrectorOptions& options, const train::TensorBatch& batch, uint64_t key, train::Prepared& out);
ResidualRows residual_rows(const FieldSpace& space, const models::FieldOperator& op, const models::Corrector& corrector,
                           const CorrectorOptions& options, const train::TensorBatch& batch, const train::Prepared& prepared);

// z_op + gated s_r r, channels in `conserved` with their mean restored.
at::Tensor apply_correction(const models::Corrector& corrector, const CorrectorOptions& options, const at::Tensor& z,
                            const at::Tensor& z_op, at::Tensor residual);

// RMS per channel of the operator's one-step residual over held-out trajectories, normalised units.
std::vector<double> residual_rms(const HeldOut& held_out, const models::FieldOperator& op);
// Mean over held-out windows of |z_op - z'| / |z'|.
double residual_relative(const HeldOut& held_out, const models::FieldOperator& op);

}  // namespace ups::stages
