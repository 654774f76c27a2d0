// Test-time compute: candidates for each step, a reward that chooses one per sample, and what the choice is worth. Definitions:
// docs/metrics.md. Models are callbacks on physical fields, so nothing here knows LibTorch.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ups/run/evaluation.h"
#include "ups/run/ttc_options.h"
#include "ups/run/ttc_report.h"
#include "ups/run/ttc_reward.h"

namespace ups::run {

// nfe of candidate 0 and of one sample. The horizon goes first, then the candidates; candidate 0 always fits.
TtcPlan plan_ttc(const TtcOptions& options, int64_t first, int64_t sample);

class TtcSearch {
 public:
  // Both models see one frame. sampler is stochastic: its members 0, 1, .. are candidates 1, 2, ..
  TtcSearch(const TtcOptions& options, EvalModel first, EvalModel sampler, TtcReward reward, const data::SetInfo& info, int64_t first_step);
  const TtcPlan& plan() const { return plan_; }
  const EvalModel& first() const { return first_; }
  const EvalModel& sampler() const { return sampler_; }
  const std::vector<std::string>& terms() const { return reward_.names; }

  // `count` candidates of every state: in [B, C, cells] -> [B, count, C, cells]. zero: candidates 0 [B, C, cells] where they are known already.
  std::vector<float> candidates(std::span<const float> in, std::span<const int64_t> trajectory, int64_t step, int64_t count,
                                std::span<const float> zero = {});
  // Rewards of candidates [B, K, C, cells] of one step: [B][K].
  std::vector<std::vector<double>> rewards(std::span<const float> in, std::span<const float> candidates, std::span<const int64_t> trajectory) const;
  // The same with what the lookahead adds: [B][K] totals of the best hypothesis that begins with each candidate, -infinity where none is left.
  std::vector<std::vector<double>> totals(std::span<const float> in, std::span<const float> candidates, std::span<const int64_t> trajectory, int64_t step);
  // The candidate of one sample: the best one, if it leads candidate 0 by more than the margin.
  int64_t choose(const std::vector<double>& totals) const;
  double margin() const { return margin_; }
  void set_margin(double margin) { margin_ = margin; }
  // Has the true frame a smaller residual than each candidate [K, C, cells]? Empty without a residual.
  std::optional<bool> truth_first(std::span<const float> in, std::span<const float> truth, std::span<const float> candidates, int64_t trajectory) const;
  // One step of the row `ttc`: out [B, C, cells].
  void predict(std::span<const float> in, std::span<const int64_t> trajectory, int64_t step, std::span<float> out);
  // Network evaluations per sample and frame that predict() has used: below the plan's where it stopped early.
  double mean_evaluations() const { return frames_ > 0 ? used_ / frames_ : 0; }

 private:
  struct Beam;
  // Is candidate 0 within ttc.residual_threshold?
  bool good_enough(std::span<const float> in, std::span<const float> zero, int64_t trajectory) const;
  std::vector<std::vector<double>> costs(std::span<const float> in, std::span<const float> candidates, std::span<const int64_t> trajectory) const;
  TtcOptions options_;
  EvalModel first_, sampler_;
  TtcReward reward_;
  TtcPlan plan_;
  size_t frame_;
  int64_t first_step_;
  double margin_ = 0;
  double evaluations_ = 0, used_ = 0, frames_ = 0;  // of candidates(); of predict(); samples times frames of predict()
};

// Rows `ttc` and `ttc_control_mean`: the mean of as many candidates as the search may evaluate, so of the same ones when it does not look ahead.
std::vector<EvalModel> ttc_models(std::shared_ptr<TtcSearch> search);

// Candidates from the true frames of every trajectory of `set`, `batch` trajectories at a time.
TtcReport judge_ttc(data::Dataset& data, const SetScores& set, TtcSearch& search, int64_t batch);
// The margin (0, 0.5, .. 3, infinity) with the smallest one-step error on the validation split, from at most about 500 of its steps;
// 0 without one.
double fit_margin(data::Dataset& data, int64_t initial_step, TtcSearch& search, int64_t batch);

}  // namespace ups::run
