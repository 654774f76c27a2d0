#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <limits>

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

// One step of one trajectory from its true frame.
struct Step {
  std::span<const float> before, truth, candidates;  // [C, cells], [K, C, cells]
  std::vector<double> errors;                        // [K]
  const std::vector<double>&rewards, &totals;        // [K]
  int64_t trajectory;
};

// Calls f(Step) for frames first, first + every, .. of the trajectories.
template <class F>
void for_each_step(data::Dataset& data, std::span<const int64_t> trajectories, int64_t first, int64_t frames, int64_t every, TtcSearch& search,
                   int64_t batch, F f) {
  const auto frame = static_cast<size_t>(data.info().channels * data.info().cells()), k = static_cast<size_t>(search.plan().candidates);
  std::vector<float> pair(2 * frame), in, truth;
  for (size_t begin = 0; begin < trajectories.size(); begin += static_cast<size_t>(batch)) {
    const auto ids = trajectories.subspan(begin, std::min(static_cast<size_t>(batch), trajectories.size() - begin));
    for (int64_t step = first; step < first + frames; step += every) {
      in.clear(), truth.clear();
      for (int64_t id : ids) {
        data.read(id, step - 1, 2, pair);
        const auto middle = pair.begin() + static_cast<std::ptrdiff_t>(frame);
        in.insert(in.end(), pair.begin(), middle);
        truth.insert(truth.end(), middle, pair.end());
      }
      const std::vector<float> all = search.candidates(in, ids, step, search.plan().candidates);
      const auto rewards = search.rewards(in, all, ids), totals = search.totals(in, all, ids, step);
      for (size_t b = 0; b < ids.size(); ++b) {
        Step s{std::span<const float>(in).subspan(b * frame, frame), std::span<const float>(truth).subspan(b * frame, frame),
               std::span<const float>(all).subspan(b * k * frame, k * frame), {}, rewards[b], totals[b], ids[b]};
        for (size_t c = 0; c < k; ++c) s.errors.push_back(relative_error(s.truth, s.candidates.subspan(c * frame, frame)));
        f(s);
      }
    }
  }
}

constexpr int64_t kFitSteps = 500;

}  // namespace

TtcReport judge_ttc(data::Dataset& data, const SetScores& set, TtcSearch& search, int64_t batch) {
  TtcReport r;
  r.first = search.first().name;
  r.plan = search.plan();
  r.terms = search.terms();
  r.margin = search.margin();
  r.evaluations = search.mean_evaluations();
  double ranked = 0, truth_first = 0;
  std::vector<double> mean;
  for_each_step(data, set.trajectories, set.initial_step, set.frames, 1, search, batch, [&](const Step& s) {
    const size_t frame = s.truth.size(), k = s.errors.size();
    mean.assign(frame, 0.0);
    for (size_t i = 0; i < s.candidates.size(); ++i) mean[i % frame] += static_cast<double>(s.candidates[i]) / static_cast<double>(k);
    std::vector<double> accuracy = s.errors;
    for (double& e : accuracy) e = -e;
    const double rho = metrics::spearman(s.rewards, accuracy);
    if (!std::isnan(rho)) r.spearman += rho, ++ranked;
    const int64_t choice = search.choose(s.totals);
    r.error_first += s.errors[0];
    r.error_chosen += s.errors[static_cast<size_t>(choice)];
    r.error_best += *std::min_element(s.errors.begin(), s.errors.end());
    r.error_mean += relative_error(s.truth, mean);
    r.kept_first += choice == 0;
    if (const auto better = search.truth_first(s.before, s.truth, s.candidates, s.trajectory)) r.truth_first = truth_first += *better;
    ++r.steps;
  });
  const auto n = static_cast<double>(r.steps);
  r.spearman = ranked > 0 ? r.spearman / ranked : metrics::kNan;
  for (double* sum : {&r.error_first, &r.error_chosen, &r.error_best, &r.error_mean, &r.kept_first}) *sum /= n;
  if (r.truth_first) *r.truth_first /= n;
  return r;
}

double fit_margin(data::Dataset& data, int64_t initial_step, TtcSearch& search, int64_t batch) {
  const std::vector<int64_t>& trajectories = data.members(data::Split::val);
  const int64_t frames = data.info().frames - initial_step;
  if (trajectories.empty() || frames < 1) return 0;
  std::vector<double> margins = {0, 0.5, 1, 1.5, 2, 2.5, 3, std::numeric_limits<double>::infinity()}, errors(margins.size(), 0.0);
  const int64_t every = std::max<int64_t>(1, static_cast<int64_t>(trajectories.size()) * frames / kFitSteps), first = initial_step + every / 2;
  for_each_step(data, trajectories, first, initial_step + frames - first, every, search, batch, [&](const Step& s) {
    for (size_t i = 0; i < margins.size(); ++i) {
      search.set_margin(margins[i]);
      errors[i] += s.errors[static_cast<size_t>(search.choose(s.totals))];
    }
  });
  return margins[static_cast<size_t>(std::min_element(errors.begin(), errors.end()) - errors.begin())];
}

std::vector<std::string> ttc_sentences(const std::string& set, const TtcReport& r) {
  std::vector<std::string> out;
  out.push_back(fmt::format("{}: ttc: rank correlation of reward ({}) and true error {:.2f} over {} candidates; the best of them is {:.1f} % better than "
                            "{} in one step, the reward gets {:.0f} % of that, their mean {:.0f} %.",
                            set, fmt::join(r.terms, ", "), r.spearman, r.plan.candidates, 100 * r.oracle_gain(), r.first, 100 * r.achieved(),
                            100 * r.control()));
  if (r.kept_first == 1) out.push_back(fmt::format("{}: ttc: no lead of the reward paid on the validation split, so every step stays with {}.", set, r.first));
  if (r.truth_first && *r.truth_first < 0.9)
    out.push_back(fmt::format("{}: ttc: the true frame has the smallest residual in {:.0f} % of the steps only: the residual is too coarse for these "
                              "candidates.", set, 100 * *r.truth_first));
  return out;
}

}  // namespace ups::run
