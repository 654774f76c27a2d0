#include "ups/run/ttc.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace ups::run {
namespace {

// Candidate with the largest value; the first of equals.
int64_t best(const std::vector<double>& values) { return std::max_element(values.begin(), values.end()) - values.begin(); }

bool leads(std::vector<double> values, double margin) {
  std::partial_sort(values.begin(), values.begin() + 2, values.end(), std::greater<>());
  return values[0] - values[1] > margin;
}

}  // namespace

// The states that the lookahead of one sample keeps; every one has the same number of rewards in its total.
struct TtcSearch::Beam {
  struct State {
    int64_t root;  // candidate of the first step
    double total;
    std::vector<float> field;
  };
  size_t sample;  // in the batch
  std::vector<State> states;
  void keep(size_t count) {
    std::stable_sort(states.begin(), states.end(), [](const State& a, const State& b) { return a.total > b.total; });
    if (states.size() > count) states.resize(count);
  }
};

TtcSearch::TtcSearch(const TtcOptions& options, EvalModel first, EvalModel sampler, TtcReward reward, const data::SetInfo& info, int64_t first_step)
    : options_(options),
      first_(std::move(first)),
      sampler_(std::move(sampler)),
      reward_(std::move(reward)),
      plan_(plan_ttc(options, first_.nfe, sampler_.nfe)),
      frame_(static_cast<size_t>(info.channels * info.cells())),
      first_step_(first_step),
      margin_(options.margin.value_or(0)) {
  assert(first_.context == 1 && sampler_.context == 1 && sampler_.stochastic);
}

std::vector<float> TtcSearch::candidates(std::span<const float> in, std::span<const int64_t> trajectory, int64_t step, int64_t count,
                                         std::span<const float> zero) {
  const size_t b = trajectory.size(), k = static_cast<size_t>(count);
  assert(in.size() == b * frame_ && (zero.empty() || zero.size() == in.size()));
  std::vector<float> all(b * k * frame_), one(zero.begin(), zero.end());
  one.resize(b * frame_);
  for (size_t c = 0; c < k; ++c) {
    if (c > 0) sampler_.predict(in, {}, trajectory, step, static_cast<int64_t>(c) - 1, one);
    else if (zero.empty()) first_.predict(in, {}, trajectory, step, 0, one);
    for (size_t i = 0; i < b; ++i) std::copy_n(&one[i * frame_], frame_, &all[(i * k + c) * frame_]);
  }
  evaluations_ += static_cast<double>(b) * static_cast<double>((zero.empty() ? first_.nfe : 0) + (count - 1) * sampler_.nfe);
  return all;
}

std::vector<std::vector<double>> TtcSearch::costs(std::span<const float> in, std::span<const float> candidates,
                                                  std::span<const int64_t> trajectory) const {
  const size_t k = candidates.size() / in.size();
  std::vector<std::vector<double>> out(trajectory.size() * k, std::vector<double>(reward_.weights.size()));
  for (size_t i = 0; i < out.size(); ++i) {
    reward_.cost(in.subspan(i / k * frame_, frame_), candidates.subspan(i * frame_, frame_), trajectory[i / k], out[i]);
  }
  return out;
}

std::vector<std::vector<double>> TtcSearch::rewards(std::span<const float> in, std::span<const float> candidates,
                                                    std::span<const int64_t> trajectory) const {
  const auto all = costs(in, candidates, trajectory);
  const size_t k = candidates.size() / in.size();
  std::vector<std::vector<double>> out;
  for (size_t b = 0; b < trajectory.size(); ++b) {
    const auto at = all.begin() + static_cast<std::ptrdiff_t>(b * k);
    const double floor = reward_floor(in.subspan(b * frame_, frame_), candidates.subspan(b * k * frame_, k * frame_));
    out.push_back(standardised_rewards({at, at + static_cast<std::ptrdiff_t>(k)}, reward_.weights, floor));
  }
  return out;
}

bool TtcSearch::good_enough(std::span<const float> in, std::span<const float> zero, int64_t trajectory) const {
  if (!options_.residual_threshold || !reward_.residual) return false;
  std::vector<double> terms(reward_.weights.size());
  reward_.cost(in, zero, trajectory, terms);
  return terms[*reward_.residual] <= *options_.residual_threshold;
}

int64_t TtcSearch::choose(const std::vector<double>& totals) const {
  const int64_t leader = best(totals);
  return totals[static_cast<size_t>(leader)] - totals[0] > margin_ ? leader : 0;
}

std::vector<std::vector<double>> TtcSearch::totals(std::span<const float> in, std::span<const float> candidates, std::span<const int64_t> trajectory,
                                                   int64_t step) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<std::vector<double>> out = rewards(in, candidates, trajectory);
  const size_t k = candidates.size() / in.size();
  std::vector<Beam> open;  // samples that look ahead
  for (size_t b = 0; b < trajectory.size(); ++b) {
    const bool keep = good_enough(in.subspan(b * frame_, frame_), candidates.subspan(b * k * frame_, frame_), trajectory[b]);
    if (keep) out[b][0] = kInfinity;
    if (keep || plan_.horizon == 1 || k == 1 || (options_.early_stop_margin && leads(out[b], *options_.early_stop_margin))) continue;
    Beam beam{b, {}};
    for (size_t c = 0; c < k; ++c) {
      const auto field = candidates.subspan((b * k + c) * frame_, frame_);
      beam.states.push_back({static_cast<int64_t>(c), out[b][c], {field.begin(), field.end()}});
    }
    beam.keep(static_cast<size_t>(plan_.beam));
    open.push_back(std::move(beam));
  }
  double weight = 1;
  for (int64_t level = 1; level < plan_.horizon && !open.empty(); ++level) {
    weight *= options_.gamma;
    std::vector<float> states;
    std::vector<int64_t> ids;
    for (const Beam& beam : open) {
      for (const Beam::State& s : beam.states) {
        states.insert(states.end(), s.field.begin(), s.field.end());
        ids.push_back(trajectory[beam.sample]);
      }
    }
    const std::vector<float> next = this->candidates(states, ids, step + level, plan_.candidates);
    const auto all = costs(states, next, ids);
    size_t at = 0;
    for (Beam& beam : open) {  // all hypotheses of a sample are standardised together
      const size_t hypotheses = beam.states.size() * k;
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
      const double floor = reward_floor(in.subspan(beam.sample * frame_, frame_), std::span<const float>(next).subspan(at * frame_, hypotheses * frame_));
      const std::vector<double> reward = standardised_rewards({begin, begin + static_cast<std::ptrdiff_t>(hypotheses)}, reward_.weights, floor);
      std::vector<Beam::State> grown;
      for (size_t h = 0; h < hypotheses; ++h) {
        const Beam::State& parent = beam.states[h / k];
        const auto field = next.begin() + static_cast<std::ptrdiff_t>((at + h) * frame_);
        grown.push_back({parent.root, parent.total + weight * reward[h], {field, field + static_cast<std::ptrdiff_t>(frame_)}});
      }
      beam.states = std::move(grown);
      beam.keep(static_cast<size_t>(plan_.beam));
      at += hypotheses;
    }
  }
  for (const Beam& beam : open) {
    std::vector<double>& total = out[beam.sample];
    std::fill(total.begin(), total.end(), -kInfinity);
    for (const Beam::State& s : beam.states) total[static_cast<size_t>(s.root)] = std::max(total[static_cast<size_t>(s.root)], s.total);
  }
  return out;
}

void TtcSearch::predict(std::span<const float> in, std::span<const int64_t> trajectory, int64_t step, std::span<float> out) {
  const double before = evaluations_;
  const std::vector<float> zero = candidates(in, trajectory, step, 1);
  std::copy(zero.begin(), zero.end(), out.begin());
  std::vector<float> states, zeros;  // of the samples that go on
  std::vector<int64_t> ids;
  std::vector<float*> targets;
  const bool chosen = plan_.candidates > 1 && (!options_.steps || step - first_step_ < *options_.steps);
  for (size_t b = 0; b < trajectory.size() && chosen; ++b) {
    const auto state = in.subspan(b * frame_, frame_), candidate = std::span<const float>(zero).subspan(b * frame_, frame_);
    if (good_enough(state, candidate, trajectory[b])) continue;
    states.insert(states.end(), state.begin(), state.end());
    zeros.insert(zeros.end(), candidate.begin(), candidate.end());
    ids.push_back(trajectory[b]);
    targets.push_back(&out[b * frame_]);
  }
  if (!ids.empty()) {
    const std::vector<float> all = candidates(states, ids, step, plan_.candidates, zeros);
    const auto all_totals = totals(states, all, ids, step);
    for (size_t i = 0; i < ids.size(); ++i) {
      std::copy_n(&all[(i * static_cast<size_t>(plan_.candidates) + static_cast<size_t>(choose(all_totals[i]))) * frame_], frame_, targets[i]);
    }
  }
  used_ += evaluations_ - before;
  frames_ += static_cast<double>(trajectory.size());
}

std::optional<bool> TtcSearch::truth_first(std::span<const float> in, std::span<const float> truth, std::span<const float> candidates,
                                           int64_t trajectory) const {
  if (!reward_.residual) return std::nullopt;
  std::vector<double> terms(reward_.weights.size());
  const auto residual = [&](std::span<const float> after) {
    reward_.cost(in, after, trajectory, terms);
    return terms[*reward_.residual];
  };
  const double own = residual(truth);
  for (size_t at = 0; at < candidates.size(); at += frame_) {
    if (residual(candidates.subspan(at, frame_)) <= own) return false;
  }
  return true;
}

}  // namespace ups::run
