// Errors of one prediction per sample, accumulated chunk by chunk in double precision. Definitions: docs/metrics.md.
#pragma once
#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ups/metrics/layout.h"
#include "ups/metrics/spectrum.h"

namespace ups::metrics {

// Every metric has one value per (frame, channel); its table entry is the mean over both. Units: those of the field for the
// absolute ones, 1 for the relative ones.
enum class Metric {
  mse, mae, rmse, nrmse, nrmse_pooled, vrmse, nrmse_well, max_error, crmse, drift, brmse, negativity,
  frmse_low, frmse_mid, frmse_high, logspec_low, logspec_mid, logspec_high, logspec_log1, logspec_log2, logspec_log3,
  count
};
inline constexpr size_t kMetrics = static_cast<size_t>(Metric::count);
const char* to_string(Metric m);

inline constexpr std::array<double, 3> kCorrelationLevels = {0.8, 0.9, 0.95};
struct CorrelationTime {
  double median = 0;    // of the first time with Pearson < level; a sample that never falls counts with the last time
  double censored = 0;  // fraction that never falls
};

struct FieldResult {
  int64_t frames = 0, channels = 0, samples = 0;
  std::array<std::vector<double>, kMetrics> values;  // each [T, C]; NaN where undefined
  std::vector<int64_t> live;                         // [T, C] samples that count in nrmse; the others are dead (see add)
  int64_t diverged = 0;                              // samples with a value that is not finite
  std::array<CorrelationTime, 3> correlation;        // per level, over samples and channels
  double rel_l2 = 0;                                 // sqrt(sum e^2 / sum y^2) over everything

  const std::vector<double>& per_frame(Metric m) const { return values[static_cast<size_t>(m)]; }
  // Mean over frames and channels where the metric is defined; NaN when it is nowhere or when the prediction is not finite.
  double mean(Metric m) const;
  double mean(Metric m, std::span<const int64_t> channels_only) const;  // NaN for an empty list
  double frame_mean(Metric m, int64_t frame) const;                      // over channels
  double channel_mean(Metric m, int64_t channel) const;                  // over frames
  int64_t dead() const;                                                  // (sample, frame, channel) entries left out of nrmse
};

class FieldScores {
 public:
  // times: [T] distance of each frame from the last context frame, the unit of the correlation times.
  FieldScores(Layout layout, std::vector<double> times);
  // truth, prediction: [n, T, C, cells]. context: [n, C, cells], the last true frame before the prediction, or empty (steady).
  // A (sample, frame, channel) whose mean square is zero or < 1e-6 of the context's counts as dead: its relative error explodes.
  void add(int64_t n, std::span<const float> truth, std::span<const float> prediction, std::span<const float> context);
  void add(int64_t n, std::span<const float> truth, std::span<const double> prediction, std::span<const float> context);
  FieldResult result() const;
  int64_t samples() const { return samples_; }

 private:
  template <class Real>
  void add_any(int64_t n, std::span<const float> truth, std::span<const Real> prediction, std::span<const float> context);
  void add_field(size_t slot, double context_energy, std::optional<double> context_sum);
  double& at(size_t which, size_t slot) { return sums_[which][slot]; }
  Layout layout_;
  std::vector<double> times_, boundary_weight_;
  double boundary_total_ = 0;
  Spectrum spectrum_;
  int64_t samples_ = 0, diverged_ = 0;
  std::vector<std::vector<double>> sums_;                         // [quantity][T * C]
  std::vector<int64_t> live_;                                     // [T * C]
  std::vector<double> error_power_, truth_power_, model_power_;   // [T * C, bins]
  std::vector<double> y_, p_, e_;                                 // one field
  double last_correlation_ = 1;                                   // of the field last added
  std::array<std::vector<double>, 3> fall_times_;                 // per level, one entry per (sample, channel)
  std::array<int64_t, 3> censored_{};
};

}  // namespace ups::metrics
