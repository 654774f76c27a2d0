// Residual samples against the truth over held-out windows, in units of the residual's RMS (before gate and conserved channels).
#pragma once
#include <functional>

#include "ups/stages/residual_objective.h"

namespace ups::stages {

// Means over everything that was added; definitions in docs/metrics.md.
class SampleScores {
 public:
  // members [M, B, C, X..], M >= 2; truth [B, C, X..].
  void add(const at::Tensor& members, const at::Tensor& truth);
  double crps() const;          // fair
  double mean_error() const;    // mean |truth|: the CRPS of the operator alone
  double spread() const;        // root mean unbiased variance
  double spread_skill() const;

 private:
  double crps_ = 0, truth_ = 0, variance_ = 0, error_ = 0, windows_ = 0;
  int64_t members_ = 0;
};

using ResidualDraw = std::function<at::Tensor(const ResidualRows&, const NoiseOf&)>;

// Noise of a member at a window: the same in every call, so that two samplers get the same.
NoiseOf window_noise(const at::Tensor& like, int64_t frame, int64_t member);
// The window from frame t to t + 1.
ResidualRows held_out_rows(const HeldOut& held_out, const models::FieldOperator& op, const models::Corrector& corrector, int64_t frame);
// Four members at every fourth window.
SampleScores score_samples(const HeldOut& held_out, const models::FieldOperator& op, const models::Corrector& corrector, const ResidualDraw& sample);

double finite_score(double score);  // 1e300 when it is not finite

}  // namespace ups::stages
