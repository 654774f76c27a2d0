#include "ups/run/eval_accumulator.h"

#include <algorithm>

namespace ups::run {
ModeAccumulator::ModeAccumulator(const metrics::Layout& layout, const std::vector<double>& times, int64_t members, bool exact,
                                 int64_t batch)
    : layout_(layout), members_(members), batch_(batch), field_(layout, times) {
  if (members > 0) single_.emplace(layout, times);
  if (members > 1) ensemble_.emplace(layout, members);
  if (exact) exact_.emplace();
}

void ModeAccumulator::add(int64_t n, std::span<const float> truth, std::span<const float> prediction,
                          std::span<const float> context) {
  const size_t sample = layout_.sample(), frame = sample / static_cast<size_t>(layout_.frames);
  std::vector<float> mean_as_float;
  if (members_ == 0) {
    field_.add(n, truth, prediction, context);
  } else {
    mean_.resize(truth.size());
    if (ensemble_) {
      ensemble_->add(n, truth, prediction, mean_);
    } else {
      std::copy(prediction.begin(), prediction.end(), mean_.begin());
    }
    field_.add(n, truth, std::span<const double>(mean_), context);
    const auto m = static_cast<size_t>(members_);
    for (size_t b = 0; b < static_cast<size_t>(n); ++b) {
      for (size_t k = 0; k < m; ++k) {
        single_->add(1, truth.subspan(b * sample, sample), prediction.subspan((b * m + k) * sample, sample),
                     context.empty() ? context : context.subspan(b * frame, frame));
      }
    }
    if (exact_) {
      mean_as_float.resize(mean_.size());
      std::transform(mean_.begin(), mean_.end(), mean_as_float.begin(), [](double v) { return static_cast<float>(v); });
      prediction = mean_as_float;
    }
  }
  for (int64_t first = 0; exact_ && first < n; first += batch_) {
    const int64_t b = std::min(batch_, n - first);
    const size_t start = static_cast<size_t>(first) * sample, size = static_cast<size_t>(b) * sample;
    exact_->add(metrics::pdebench_batch(layout_, b, truth.subspan(start, size), prediction.subspan(start, size)));
  }
}

ModeScores ModeAccumulator::result() const {
  ModeScores s;
  s.field = field_.result();
  if (single_) s.single = single_->result();
  if (ensemble_) s.ensemble = ensemble_->result();
  if (exact_) s.exact = exact_->result();
  return s;
}

ModelAccumulator::ModelAccumulator(const EvalModel& model, const EvalInput& input, const metrics::Layout& layout,
                                   const data::SetInfo& info, const std::vector<double>& times)
    : name_(model.name),
      nfe_(model.nfe),
      stochastic_(model.stochastic),
      data_(&input.data),
      info_(&info),
      one_step_(layout, times, model.stochastic ? input.ensemble : 0, input.exact_pdebench, input.batch) {
  if (!info.steady) rollout_.emplace(layout, times, model.stochastic ? input.ensemble : 0, input.exact_pdebench, input.batch);
  if (knows_darcy_operator(info)) warm_start_.emplace(info, input.warm_start_iterations);
}

void ModelAccumulator::add(bool rollout, int64_t n, std::span<const float> truth, std::span<const float> prediction,
                           std::span<const float> context, std::span<const float> coeff, std::span<const int64_t> trajectories) {
  (rollout ? *rollout_ : one_step_).add(n, truth, prediction, context);
  if (warm_start_) add_warm_start(n, truth, prediction, coeff, trajectories);
}

void ModelAccumulator::add_warm_start(int64_t n, std::span<const float> truth, std::span<const float> prediction,
                                      std::span<const float> coeff, std::span<const int64_t> trajectories) {
  const auto cells = static_cast<size_t>(info_->cells());
  std::vector<double> u(cells);
  for (size_t b = 0; b < static_cast<size_t>(n); ++b) {
    if (stochastic_) {
      std::copy_n(&one_step_.mean()[b * cells], cells, u.begin());
    } else {
      std::copy_n(&prediction[b * cells], cells, u.begin());
    }
    warm_start_->add(coeff.subspan(b * cells, cells), truth.subspan(b * cells, cells), u, data_->params(trajectories[b]));
  }
}

ModelScores ModelAccumulator::result() const {
  ModelScores s;
  s.name = name_;
  s.stochastic = stochastic_;
  s.nfe = nfe_;
  if (nfe_ > 0 && timed_frames_ > 0) s.ms_per_step = 1e3 * seconds_ / timed_frames_;
  s.one_step = one_step_.result();
  if (rollout_) s.rollout = rollout_->result();
  if (warm_start_) s.warm_start = warm_start_->result();
  return s;
}

}  // namespace ups::run
