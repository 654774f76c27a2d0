// Sums of one model's scores over the chunks of an evaluation.
#pragma once
#include <optional>
#include <span>
#include <vector>

#include "ups/run/evaluation.h"

namespace ups::run {

class ModeAccumulator {
 public:
  ModeAccumulator(const metrics::Layout& layout, const std::vector<double>& times, int64_t members, bool exact, int64_t batch);
  // truth [n, T, C, cells], prediction [n, M, T, C, cells], context [n, C, cells] or empty.
  // Leaves the ensemble mean in mean() for stochastic models.
  void add(int64_t n, std::span<const float> truth, std::span<const float> prediction, std::span<const float> context);
  std::span<const double> mean() const { return mean_; }
  ModeScores result() const;

 private:
  metrics::Layout layout_;
  int64_t members_, batch_;  // members 0 = deterministic
  metrics::FieldScores field_;
  std::optional<metrics::FieldScores> single_;
  std::optional<metrics::EnsembleScores> ensemble_;
  std::optional<metrics::PdebenchExact> exact_;
  std::vector<double> mean_;
};

class ModelAccumulator {
 public:
  ModelAccumulator(const EvalModel& model, const EvalInput& input, const metrics::Layout& layout, const data::SetInfo& info,
                   const std::vector<double>& times);
  void add(bool rollout, int64_t n, std::span<const float> truth, std::span<const float> prediction, std::span<const float> context,
           std::span<const float> coeff, std::span<const int64_t> trajectories);
  void add_time(double seconds, size_t frames) { seconds_ += seconds, timed_frames_ += static_cast<double>(frames); }
  ModelScores result() const;

 private:
  void add_warm_start(int64_t n, std::span<const float> truth, std::span<const float> prediction, std::span<const float> coeff,
                      std::span<const int64_t> trajectories);
  std::string name_;
  int nfe_;
  bool stochastic_;
  data::Dataset* data_;
  const data::SetInfo* info_;
  ModeAccumulator one_step_;
  std::optional<ModeAccumulator> rollout_;
  std::optional<WarmStartScores> warm_start_;
  double seconds_ = 0, timed_frames_ = 0;
};

}  // namespace ups::run
