// What test-time compute was worth; definitions: docs/metrics.md.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ups::run {

// The search that fits into ttc.max_evaluations.
struct TtcPlan {
  int64_t candidates = 1, beam = 1, horizon = 1;
  int64_t evaluations = 1;  // network evaluations per sample and frame, if nothing stops early
};
// What the choice is worth in one step from true frames; errors are nRMSE, means over (sample, frame).
struct TtcReport {
  std::string first;               // name of candidate 0's row
  int64_t steps = 0;               // (sample, frame) pairs
  TtcPlan plan;
  std::vector<std::string> terms;  // of the reward
  double spearman = 0;             // of reward and -error over the candidates, mean over pairs
  std::optional<double> truth_first;  // share of pairs in which the true frame has a smaller residual than every candidate
  double margin = 0;               // over candidate 0 that another candidate needs; infinite: candidate 0 always
  double kept_first = 0;           // share of pairs that stay with candidate 0
  double evaluations = 0;          // network evaluations per frame that the row used
  double error_first = 0, error_chosen = 0, error_best = 0, error_mean = 0;  // candidate 0, the choice, the best one, the mean of all
  double oracle_gain() const { return 1 - error_best / error_first; }
  double achieved() const { return (error_first - error_chosen) / (error_first - error_best); }   // share of the oracle's gain
  double control() const { return (error_first - error_mean) / (error_first - error_best); }
};
// Sentences for the verdict.
std::vector<std::string> ttc_sentences(const std::string& set, const TtcReport& report);

}  // namespace ups::run
