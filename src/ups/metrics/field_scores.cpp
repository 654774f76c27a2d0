#include "ups/metrics/field_scores.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "ups/metrics/statistics.h"

namespace ups::metrics {
namespace {

constexpr double kDeadEnergy = 1e-6;   // of the context frame's energy
constexpr double kVrmseFloor = 1e-7;   // The Well's epsilon
constexpr double kSpectrumFloor = 1e-12;

// Quantities summed over samples, one value per (frame, channel).
enum Sum : size_t { kSquare, kAbs, kRoot, kRelative, kTruthSquare, kVrmse, kWell, kMax, kTotalSquare, kDriftSquare, kBoundary,
                    kNegative, kSums };

}  // namespace

const char* to_string(Metric m) {
  static constexpr std::array<const char*, kMetrics> kNames = {
      "mse", "mae", "rmse", "nrmse", "nrmse_pooled", "vrmse", "nrmse_well", "max_error", "crmse", "drift", "brmse", "negativity",
      "frmse_low", "frmse_mid", "frmse_high", "logspec_low", "logspec_mid", "logspec_high", "logspec_log1", "logspec_log2",
      "logspec_log3"};
  return kNames[static_cast<size_t>(m)];
}

FieldScores::FieldScores(Layout layout, std::vector<double> times)
    : layout_(std::move(layout)), times_(std::move(times)), spectrum_(layout_.grid) {
  assert(times_.size() == static_cast<size_t>(layout_.frames));
  const size_t cells = layout_.cells(), fields = layout_.fields();
  sums_.assign(kSums, std::vector<double>(fields, 0.0));
  live_.assign(fields, 0);
  for (auto* power : {&error_power_, &truth_power_, &model_power_}) power->assign(fields * spectrum_.bins(), 0.0);
  for (auto* field : {&y_, &p_, &e_}) field->resize(cells);
  boundary_weight_.assign(cells, 0.0);
  for (size_t cell = 0; cell < cells; ++cell) {
    size_t rest = cell;
    for (size_t axis = layout_.grid.size(); axis-- > 0;) {
      const auto n = static_cast<size_t>(layout_.grid[axis]);
      const size_t i = rest % n;
      rest /= n;
      boundary_weight_[cell] += static_cast<double>(i == 0) + static_cast<double>(i == n - 1);
    }
    boundary_total_ += boundary_weight_[cell];
  }
}

// Reads y_ and p_.
void FieldScores::add_field(size_t slot, double context_energy, std::optional<double> context_sum) {
  const size_t cells = y_.size();
  const auto count = static_cast<double>(cells);
  double square = 0, abs = 0, truth_square = 0, max = 0, total_p = 0, total_y = 0, boundary = 0, negative = 0;
  for (size_t i = 0; i < cells; ++i) {
    const double e = p_[i] - y_[i];
    e_[i] = e;
    square += e * e;
    abs += std::abs(e);
    truth_square += y_[i] * y_[i];
    if (std::isnan(e) || std::abs(e) > max) max = std::isnan(max) ? max : std::abs(e);
    total_p += p_[i];
    total_y += y_[i];
    boundary += boundary_weight_[i] * e * e;
    negative += std::max(0.0, -p_[i]);
  }
  const double mean_p = total_p / count, mean_y = total_y / count;
  double var_p = 0, var_y = 0, covariance = 0;
  for (size_t i = 0; i < cells; ++i) {
    const double dp = p_[i] - mean_p, dy = y_[i] - mean_y;
    var_p += dp * dp, var_y += dy * dy, covariance += dp * dy;
  }
  const double mse = square / count, energy = truth_square / count;
  at(kSquare, slot) += mse;
  at(kAbs, slot) += abs / count;
  at(kRoot, slot) += std::sqrt(mse);
  at(kTruthSquare, slot) += energy;
  if (energy > 0 && energy >= kDeadEnergy * context_energy) {
    at(kRelative, slot) += std::sqrt(mse / energy);
    ++live_[slot];
  }
  at(kVrmse, slot) += std::sqrt(mse / (var_y / std::max(1.0, count - 1) + kVrmseFloor));
  at(kWell, slot) += std::sqrt(mse / (energy + kVrmseFloor));
  double& largest = at(kMax, slot);
  if (std::isnan(max) || max > largest) largest = max;
  at(kTotalSquare, slot) += (total_p - total_y) * (total_p - total_y);
  if (context_sum) at(kDriftSquare, slot) += (total_p - *context_sum) * (total_p - *context_sum);
  at(kBoundary, slot) += std::sqrt(boundary / boundary_total_);
  at(kNegative, slot) += negative / count;

  const size_t bins = spectrum_.bins();
  const auto bins_of = [&](std::vector<double>& power) { return std::span<double>(power).subspan(slot * bins, bins); };
  spectrum_.transform(e_);
  spectrum_.add_error_bins(bins_of(error_power_));
  spectrum_.transform(p_);
  spectrum_.add_power_bins(bins_of(model_power_));
  spectrum_.transform(y_);
  spectrum_.add_power_bins(bins_of(truth_power_));
  // A constant truth has no pattern to lose; a constant prediction of a varying truth has lost it.
  last_correlation_ = var_y == 0 ? 1.0 : var_p == 0 ? 0.0 : covariance / std::sqrt(var_p * var_y);
}

template <class Real>
void FieldScores::add_any(int64_t n, std::span<const float> truth, std::span<const Real> prediction,
                          std::span<const float> context) {
  const size_t cells = layout_.cells(), fields = layout_.fields(), sample = layout_.sample();
  const auto channels = static_cast<size_t>(layout_.channels);
  assert(truth.size() == static_cast<size_t>(n) * sample && prediction.size() == truth.size());
  assert(context.empty() || context.size() == static_cast<size_t>(n) * channels * cells);
  std::vector<double> energy(channels, 0.0), total(channels, 0.0);
  std::vector<std::array<bool, 3>> fallen(channels);
  for (size_t b = 0; b < static_cast<size_t>(n); ++b) {
    if (!context.empty()) {
      for (size_t c = 0; c < channels; ++c) {
        energy[c] = total[c] = 0;
        for (float v : context.subspan((b * channels + c) * cells, cells)) {
          energy[c] += static_cast<double>(v) * static_cast<double>(v) / static_cast<double>(cells);
          total[c] += static_cast<double>(v);
        }
      }
    }
    std::fill(fallen.begin(), fallen.end(), std::array<bool, 3>{});
    const auto model = prediction.subspan(b * sample, sample);
    if (!std::all_of(model.begin(), model.end(), [](Real v) { return std::isfinite(v); })) ++diverged_;
    for (size_t slot = 0; slot < fields; ++slot) {
      const size_t start = b * sample + slot * cells, c = slot % channels;
      std::copy_n(truth.begin() + static_cast<std::ptrdiff_t>(start), cells, y_.begin());
      std::copy_n(prediction.begin() + static_cast<std::ptrdiff_t>(start), cells, p_.begin());
      add_field(slot, energy[c], context.empty() ? std::nullopt : std::optional<double>(total[c]));
      for (size_t level = 0; level < 3; ++level) {
        if (fallen[c][level] || last_correlation_ >= kCorrelationLevels[level]) continue;
        fallen[c][level] = true;
        fall_times_[level].push_back(times_[slot / channels]);
      }
    }
    for (size_t c = 0; c < channels; ++c) {
      for (size_t level = 0; level < 3; ++level) {
        if (fallen[c][level]) continue;
        ++censored_[level];
        fall_times_[level].push_back(times_.back());
      }
    }
  }
  samples_ += n;
}

void FieldScores::add(int64_t n, std::span<const float> truth, std::span<const float> prediction,
                      std::span<const float> context) {
  add_any(n, truth, prediction, context);
}
void FieldScores::add(int64_t n, std::span<const float> truth, std::span<const double> prediction,
                      std::span<const float> context) {
  add_any(n, truth, prediction, context);
}

FieldResult FieldScores::result() const {
  FieldResult r;
  r.frames = layout_.frames, r.channels = layout_.channels, r.samples = samples_, r.diverged = diverged_, r.live = live_;
  const size_t fields = layout_.fields(), bins = spectrum_.bins();
  for (auto& v : r.values) v.assign(fields, kNan);
  if (samples_ == 0) return r;
  const auto n = static_cast<double>(samples_), cells = static_cast<double>(layout_.cells());
  double extent = 1;
  for (size_t axis = 0; axis < layout_.grid.size(); ++axis) extent *= layout_.length_of(axis);
  double all_square = 0, all_truth = 0;
  std::vector<double> per_bin(bins);
  for (size_t i = 0; i < fields; ++i) {
    const auto set = [&](Metric m, double v) { r.values[static_cast<size_t>(m)][i] = v; };
    const auto set_bands = [&](Metric first, const std::array<double, kBands>& v) {
      for (size_t band = 0; band < kBands; ++band) r.values[static_cast<size_t>(first) + band][i] = v[band];
    };
    set(Metric::mse, sums_[kSquare][i] / n);
    set(Metric::mae, sums_[kAbs][i] / n);
    set(Metric::rmse, sums_[kRoot][i] / n);
    if (live_[i] > 0) set(Metric::nrmse, sums_[kRelative][i] / static_cast<double>(live_[i]));
    if (sums_[kTruthSquare][i] > 0) set(Metric::nrmse_pooled, std::sqrt(sums_[kSquare][i] / sums_[kTruthSquare][i]));
    set(Metric::vrmse, sums_[kVrmse][i] / n);
    set(Metric::nrmse_well, sums_[kWell][i] / n);
    set(Metric::max_error, sums_[kMax][i]);
    set(Metric::crmse, std::sqrt(sums_[kTotalSquare][i] / n) / cells);
    set(Metric::drift, std::sqrt(sums_[kDriftSquare][i] / n) / cells);
    set(Metric::brmse, sums_[kBoundary][i] / n);
    set(Metric::negativity, sums_[kNegative][i] / n);
    all_square += sums_[kSquare][i];
    all_truth += sums_[kTruthSquare][i];

    for (size_t k = 0; k < bins; ++k) per_bin[k] = std::sqrt(error_power_[i * bins + k] / n) / cells * extent;
    set_bands(Metric::frmse_low, band_means(per_bin));
    const double* truth = &truth_power_[i * bins];
    const double* model = &model_power_[i * bins];
    const double floor = kSpectrumFloor * *std::max_element(truth, truth + bins);
    for (size_t k = 0; k < bins; ++k) per_bin[k] = std::abs(std::log10((model[k] + floor) / (truth[k] + floor)));
    if (floor > 0) {
      set_bands(Metric::logspec_low, band_means(per_bin));
      set_bands(Metric::logspec_log1, log_band_means(per_bin));
    }
  }
  r.rel_l2 = all_truth > 0 ? std::sqrt(all_square / all_truth) : kNan;
  for (size_t level = 0; level < 3; ++level) {
    r.correlation[level].median = median(fall_times_[level]);
    r.correlation[level].censored = static_cast<double>(censored_[level]) / static_cast<double>(fall_times_[level].size());
  }
  return r;
}

}  // namespace ups::metrics
