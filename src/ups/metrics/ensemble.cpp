#include "ups/metrics/ensemble.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "ups/metrics/statistics.h"

namespace ups::metrics {

double fair_crps(std::span<double> members, double truth) {
  const auto m = static_cast<double>(members.size());
  assert(members.size() >= 2);
  std::sort(members.begin(), members.end());
  double distance = 0, pairs = 0;
  for (size_t i = 0; i < members.size(); ++i) {
    distance += std::abs(members[i] - truth);
    pairs += (2 * static_cast<double>(i) - m + 1) * members[i];  // sum over i < j of x_(j) - x_(i)
  }
  return distance / m - pairs / (m * (m - 1));
}

double ensemble_quantile(std::span<const double> sorted, double p) {
  const auto last = static_cast<double>(sorted.size() - 1);
  const double at = std::clamp(p * (last + 2) - 1, 0.0, last), low = std::floor(at);
  const auto i = static_cast<size_t>(low);
  return i + 1 < sorted.size() ? sorted[i] + (at - low) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

CellSummary summarise_cells(std::span<const float> members, int64_t m) {
  assert(m >= 2);
  const size_t count = static_cast<size_t>(m), cells = members.size() / count;
  CellSummary s;
  for (auto* v : {&s.mean, &s.std, &s.q05, &s.q95}) v->assign(cells, std::numeric_limits<float>::quiet_NaN());
  std::vector<double> x(count);
  for (size_t i = 0; i < cells; ++i) {
    double average = 0, squares = 0;
    for (size_t k = 0; k < count; ++k) average += x[k] = members[k * cells + i];
    average /= static_cast<double>(m);
    if (!std::isfinite(average)) continue;
    for (double v : x) squares += (v - average) * (v - average);
    std::sort(x.begin(), x.end());
    s.mean[i] = static_cast<float>(average);
    s.std[i] = static_cast<float>(std::sqrt(squares / static_cast<double>(m - 1)));
    s.q05[i] = static_cast<float>(ensemble_quantile(x, 0.05));
    s.q95[i] = static_cast<float>(ensemble_quantile(x, 0.95));
  }
  return s;
}

double EnsembleResult::mean(const std::vector<double>& per_frame) const {
  double sum = 0, count = 0;
  if (diverged > 0) return std::numeric_limits<double>::quiet_NaN();
  for (double v : per_frame) {
    if (!std::isnan(v)) sum += v, ++count;
  }
  return count > 0 ? sum / count : std::numeric_limits<double>::quiet_NaN();
}

EnsembleScores::EnsembleScores(Layout layout, int64_t members) : layout_(std::move(layout)), members_(members) {
  assert(members >= 2);
  const size_t fields = layout_.fields();
  for (auto* sum : {&crps_, &variance_, &error_}) sum->assign(fields, 0.0);
  sample_spread_.resize(fields);
  sample_error_.resize(fields);
  ranks_.assign(static_cast<size_t>(members) + 1, 0.0);
}

void EnsembleScores::add(int64_t n, std::span<const float> truth, std::span<const float> members, std::span<double> mean) {
  const size_t cells = layout_.cells(), fields = layout_.fields(), sample = layout_.sample();
  const auto m = static_cast<size_t>(members_);
  assert(truth.size() == static_cast<size_t>(n) * sample && members.size() == truth.size() * m && mean.size() == truth.size());
  const double count = static_cast<double>(m), width = student_t95(static_cast<int>(m) - 1) * std::sqrt(1 + 1 / count);
  std::vector<double> x(m);
  for (size_t b = 0; b < static_cast<size_t>(n); ++b) {
    for (size_t slot = 0; slot < fields; ++slot) {
      double crps = 0, variance = 0, error = 0;
      for (size_t i = 0; i < cells; ++i) {
        const size_t at = slot * cells + i;
        const double y = truth[b * sample + at];
        double average = 0;
        for (size_t k = 0; k < m; ++k) average += x[k] = members[(b * m + k) * sample + at];
        average /= count;
        mean[b * sample + at] = average;
        if (!std::isfinite(average)) {
          ++diverged_;
          continue;
        }
        double squares = 0;
        size_t below = 0, equal = 0;
        for (double v : x) {
          squares += (v - average) * (v - average);
          below += v < y;
          equal += v == y;
        }
        squares /= count - 1;
        for (size_t k = below; k <= below + equal; ++k) ranks_[k] += 1 / static_cast<double>(equal + 1);
        covered_ += std::abs(y - average) <= width * std::sqrt(squares);
        crps += fair_crps(x, y);
        variance += squares;
        error += (average - y) * (average - y);
      }
      const auto area = static_cast<double>(cells);
      crps_[slot] += crps / area;
      variance_[slot] += variance / area;
      error_[slot] += error / area;
      sample_spread_[slot].push_back(std::sqrt(variance / area));
      sample_error_[slot].push_back(std::sqrt(error / area));
    }
  }
  points_ += n * static_cast<int64_t>(sample);
  samples_ += n;
}

EnsembleResult EnsembleScores::result() const {
  EnsembleResult r;
  r.members = members_;
  r.diverged = diverged_;
  const size_t fields = layout_.fields();
  for (auto* v : {&r.crps, &r.spread_skill, &r.spread, &r.spearman}) v->assign(fields, kNan);
  if (samples_ == 0) return r;
  const auto n = static_cast<double>(samples_), m = static_cast<double>(members_);
  for (size_t i = 0; i < fields; ++i) {
    r.crps[i] = crps_[i] / n;
    r.spread[i] = std::sqrt((m + 1) / m * variance_[i] / n);
    if (error_[i] > 0) r.spread_skill[i] = r.spread[i] / std::sqrt(error_[i] / n);
    r.spearman[i] = spearman(sample_spread_[i], sample_error_[i]);
  }
  const double flat = 1 / (m + 1);
  for (double count : ranks_) {
    r.rank_histogram.push_back(count / static_cast<double>(points_));
    r.rank_chi2 += (r.rank_histogram.back() - flat) * (r.rank_histogram.back() - flat) / flat;
  }
  for (int64_t k = members_ / 2; k >= 1; --k) {  // ranks k .. M - k lie between the k-th smallest and the k-th largest member
    const auto first = r.rank_histogram.begin() + k;
    r.coverage.push_back({(m + 1 - 2 * static_cast<double>(k)) / (m + 1), std::accumulate(first, first + (members_ - 2 * k + 1), 0.0)});
  }
  r.coverage90 = static_cast<double>(covered_) / static_cast<double>(points_);
  return r;
}

}  // namespace ups::metrics
