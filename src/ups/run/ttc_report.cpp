#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "ups/metrics/statistics.h"
#include "ups/run/ttc.h"

namespace ups::run {
namespace {

// Root mean square difference of a prediction to the truth, relative to the truth.
double relative_error(std::span<const float> truth, const auto& prediction) {
  double error = 0, size = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    const double y = truth[i], e = static_cast<double>(prediction[i]) - y;
    error += e * e, size += y * y;
  }
  return std::sqrt(error / std::max(size, 1e-30));
}

// Sums over (sample, frame) pairs.
struct Sums {
  double first = 0, chosen = 0, best = 0, mean = 0, kept = 0, truth = 0, spearman = 0, ranked = 0;
  int64_t pairs = 0;
};

}  // namespace

TtcReport judge_ttc(data::Dataset& data, const SetScores& set, TtcSearch& search, int64_t batch) {
  const data::SetInfo& info = data.info();
  const auto frame = static_cast<size_t>(info.channels * info.cells()), k = static_cast<size_t>(search.plan().candidates);
  const int64_t total = static_cast<int64_t>(set.trajectories.size());
  Sums sums;
  bool residual = false;
  std::vector<float> pair(2 * frame), in, truth;
  std::vector<double> errors(k), mean(frame);
  for (int64_t begin = 0; begin < total; begin += batch) {
    const auto ids = std::span<const int64_t>(set.trajectories).subspan(static_cast<size_t>(begin), static_cast<size_t>(std::min(batch, total - begin)));
    for (int64_t step = set.initial_step; step < set.initial_step + set.frames; ++step) {
      in.clear(), truth.clear();
      for (int64_t id : ids) {
        data.read(id, step - 1, 2, pair);
        const auto middle = pair.begin() + static_cast<std::ptrdiff_t>(frame);
        in.insert(in.end(), pair.begin(), middle);
        truth.insert(truth.end(), middle, pair.end());
      }
      const std::vector<float> all = search.candidates(in, ids, step, search.plan().candidates);
      const auto rewards = search.rewards(in, all, ids);
      const auto choice = search.choose(in, all, ids, step);
      for (size_t b = 0; b < ids.size(); ++b) {
        const auto y = std::span<const float>(truth).subspan(b * frame, frame), before = std::span<const float>(in).subspan(b * frame, frame);
        const auto own = std::span<const float>(all).subspan(b * k * frame, k * frame);
        std::fill(mean.begin(), mean.end(), 0.0);
        for (size_t c = 0; c < k; ++c) {
          errors[c] = relative_error(y, own.subspan(c * frame, frame));
          for (size_t i = 0; i < frame; ++i) mean[i] += static_cast<double>(own[c * frame + i]) / static_cast<double>(k);
        }
        std::vector<double> negative = errors;
        for (double& e : negative) e = -e;
        const double rho = metrics::spearman(rewards[b], negative);
        if (!std::isnan(rho)) sums.spearman += rho, ++sums.ranked;
        sums.first += errors[0];
        sums.chosen += errors[static_cast<size_t>(choice[b])];
        sums.best += *std::min_element(errors.begin(), errors.end());
        sums.mean += relative_error(y, mean);
        sums.kept += choice[b] == 0;
        if (const auto better = search.truth_first(before, y, own, ids[b])) residual = true, sums.truth += *better;
        ++sums.pairs;
      }
    }
  }
  const auto n = static_cast<double>(sums.pairs);
  TtcReport r;
  r.first = search.first().name;
  r.steps = sums.pairs;
  r.plan = search.plan();
  r.terms = search.terms();
  r.spearman = sums.ranked > 0 ? sums.spearman / sums.ranked : metrics::kNan;
  if (residual) r.truth_first = sums.truth / n;
  r.kept_first = sums.kept / n;
  r.evaluations = search.mean_evaluations();
  r.error_first = sums.first / n, r.error_chosen = sums.chosen / n, r.error_best = sums.best / n, r.error_mean = sums.mean / n;
  return r;
}

std::vector<std::string> ttc_sentences(const std::string& set, const TtcReport& r) {
  std::vector<std::string> out;
  out.push_back(fmt::format("{}: ttc: rank correlation of reward ({}) and true error {:.2f} over {} candidates; the best of them is {:.1f} % better than "
                            "{} in one step, the reward gets {:.0f} % of that, their mean {:.0f} %.",
                            set, fmt::join(r.terms, ", "), r.spearman, r.plan.candidates, 100 * r.oracle_gain(), r.first, 100 * r.achieved(),
                            100 * r.control()));
  if (r.truth_first && *r.truth_first < 0.9)
    out.push_back(fmt::format("{}: ttc: the true frame has the smallest residual in {:.0f} % of the steps only: the residual is too coarse for these "
                              "candidates.", set, 100 * *r.truth_first));
  return out;
}

}  // namespace ups::run
