// Scores of an ensemble of M >= 2 samples per case, accumulated chunk by chunk in double precision. Definitions: docs/metrics.md.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "ups/metrics/layout.h"

namespace ups::metrics {

// Fair CRPS of one value: mean_i |x_i - y| - sum_{i<j} |x_i - x_j| / (M (M - 1)). Sorts members.
double fair_crps(std::span<double> members, double truth);

// Quantile of M sorted members at position p (M + 1), linear between neighbours, the outermost members beyond them: a further draw of
// the same distribution lies below it with probability p (while 1 <= p (M + 1) <= M).
double ensemble_quantile(std::span<const double> sorted, double p);

// M members, cell by cell: what users read instead of the samples.
struct CellSummary {
  std::vector<float> mean, std, q05, q95;  // std unbiased; ensemble_quantile at .05 and .95
};
// members [M, cells], M >= 2; NaN in every summary of a cell with a member that is not finite.
CellSummary summarise_cells(std::span<const float> members, int64_t m);

// A central interval between the k-th smallest and the k-th largest member: share of truths inside that exchangeable members
// promise, (M + 1 - 2k) / (M + 1), and the share found.
struct Coverage {
  double nominal = 0, actual = 0;
};

struct EnsembleResult {
  int64_t members = 0;
  std::vector<double> crps, spread_skill, spread, spearman;  // [T, C]; spread = sqrt((M+1)/M mean variance)
  std::vector<double> rank_histogram;                        // [M + 1] fractions; flat = 1/(M + 1); ties share their ranks evenly
  std::vector<Coverage> coverage;                            // ascending
  double rank_chi2 = 0;      // sum_k (f_k - f)^2 / f, f = 1/(M+1): 0 = flat, does not grow with the number of cells
  double coverage90 = 0;     // share of truths inside mean +- t95 s sqrt(1 + 1/M)
  int64_t diverged = 0;      // values with a member that is not finite; then every mean is NaN
  double mean(const std::vector<double>& per_frame) const;  // over defined entries; NaN when none is
};

class EnsembleScores {
 public:
  EnsembleScores(Layout layout, int64_t members);
  // truth [n, T, C, cells]; members [n, M, T, C, cells]. mean receives the ensemble mean [n, T, C, cells].
  void add(int64_t n, std::span<const float> truth, std::span<const float> members, std::span<double> mean);
  EnsembleResult result() const;

 private:
  Layout layout_;
  int64_t members_;
  int64_t samples_ = 0;
  std::vector<double> crps_, variance_, error_;                  // sums over samples of the mean over cells, [T * C]
  std::vector<std::vector<double>> sample_spread_, sample_error_;  // [T * C][samples], for Spearman
  std::vector<double> ranks_;
  int64_t covered_ = 0, points_ = 0, diverged_ = 0;
};

}  // namespace ups::metrics
