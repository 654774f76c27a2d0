#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/run/eval_accumulator.h"
#include "ups/run/evaluation.h"
#include "ups/run/predictions.h"

namespace ups::run {
namespace {

using metrics::Layout;

// Set names become HDF5 groups and file names; a file stem may hold anything.
std::string path_name(std::string name) {
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' || c == '-';
    if (!plain) c = '_';
  }
  return is_safe_name(name) ? name : "set_" + name.substr(0, 60);
}

std::vector<int64_t> chosen_trajectories(const EvalInput& in) {
  std::vector<int64_t> out = in.data.members(in.split);
  const auto& names = in.data.info().param_names;
  for (const auto& [name, value] : in.where) {
    const auto at = std::find(names.begin(), names.end(), name);
    if (at == names.end()) throw usage_error("--where", fmt::format("the data have no parameter '{}'", name), fmt::format("parameters: {}", fmt::join(names, ", ")));
    const auto index = static_cast<size_t>(at - names.begin());
    std::set<double> present;
    std::erase_if(out, [&](int64_t trajectory) {
      const double v = in.data.params(trajectory)[index];
      present.insert(v);
      return std::abs(v - value) > 1e-6 * std::max(std::abs(v), std::abs(value));
    });
    if (out.empty() && !present.empty())
      throw usage_error("--where", fmt::format("no trajectory of the split has {} = {}", name, value), fmt::format("values: {}", fmt::join(present, ", ")));
  }
  return out;
}

class SetEvaluator {
 public:
  SetEvaluator(const EvalInput& input, const std::vector<EvalModel>& models, PredictionsFile* file)
      : in_(input), info_(input.data.info()), members_(chosen_trajectories(input)), file_(file) {
    plan();
    if (!info_.steady) models_.push_back(persistence());
    if (!in_.data.members(data::Split::train).empty()) models_.push_back(climatology());
    models_.insert(models_.end(), models.begin(), models.end());
    for (const EvalModel& m : models_) {
      assert(is_safe_name(m.name));
      if (!info_.steady && m.context > in_.initial_step)
        throw usage_error("data.initial_step", fmt::format("{} is below the {} frames that {} sees", in_.initial_step, m.context, m.name),
                          fmt::format("choose {} or more", m.context));
      history_ = std::max(history_, info_.steady ? 0 : m.context);
      accumulators_.emplace_back(m, in_, layout_, info_, times_from_context_);
    }
  }

  SetScores run() {
    if (file_ != nullptr) file_->begin_set(scores_);
    const int64_t total = scores_.samples, chunk = chunk_size();
    for (int64_t first = 0; first < total; first += chunk) evaluate_chunk(first, std::min(chunk, total - first));
    for (ModelAccumulator& a : accumulators_) scores_.models.push_back(a.result());
    return std::move(scores_);
  }

 private:
  void plan() {
    const int64_t start = info_.steady ? 0 : in_.initial_step;
    int64_t end = info_.frames;
    if (in_.horizon) end = std::min(end, start + *in_.horizon);
    if (start < (info_.steady ? 0 : 1) || end <= start) {
      throw usage_error("data.initial_step", fmt::format("{} leaves no frame to predict: the set {} has {} frames", in_.initial_step,
                                                         info_.name, info_.frames),
                        "choose 1 to frames - 1, and a horizon of at least 1");
    }
    if (members_.empty()) throw data_error(info_.name, fmt::format("the {} split is empty", data::to_string(in_.split)));
    layout_ = Layout{end - start, info_.channels, info_.grid, info_.length};
    cells_ = layout_.cells();
    frame_ = static_cast<size_t>(info_.channels) * cells_;
    coeff_ = static_cast<size_t>(info_.coeff_channels) * cells_;
    const auto time_of = [&](int64_t t) {
      return static_cast<size_t>(t) < info_.time.size() ? info_.time[static_cast<size_t>(t)]
                                                        : static_cast<double>(t) * (info_.dt > 0 ? info_.dt : 1.0);
    };
    scores_.info = info_;
    scores_.info.name = path_name(info_.name);
    scores_.split_name = data::to_string(in_.split);
    scores_.split_hash = in_.data.split_hash();
    scores_.initial_step = start;
    scores_.frames = layout_.frames;
    scores_.samples = static_cast<int64_t>(members_.size());
    scores_.members = in_.ensemble;
    scores_.context_time = info_.steady ? 0 : time_of(start - 1);
    for (int64_t t = start; t < end; ++t) {
      scores_.times.push_back(time_of(t));
      times_from_context_.push_back(time_of(t) - scores_.context_time);
    }
    scores_.trajectories = members_;
    scores_.conserved = conserved_channels(info_);
  }

  EvalModel persistence() const {
    EvalModel m;
    m.name = "persistence";
    m.nfe = 0;
    m.predict = [](std::span<const float> in, std::span<const float>, std::span<const int64_t>, int64_t, int64_t,
                   std::span<float> out) { std::copy(in.begin(), in.end(), out.begin()); };
    return m;
  }

  // The train mean of each frame, whatever the input.
  EvalModel climatology() {
    std::vector<double> sum(layout_.sample(), 0.0);
    std::vector<float> one(layout_.sample());
    const std::vector<int64_t>& train = in_.data.members(data::Split::train);
    for (int64_t trajectory : train) {
      in_.data.read(trajectory, scores_.initial_step, layout_.frames, one);
      for (size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(one[i]);
    }
    climatology_.resize(sum.size());
    for (size_t i = 0; i < sum.size(); ++i) climatology_[i] = static_cast<float>(sum[i] / static_cast<double>(train.size()));
    EvalModel m;
    m.name = "climatology";
    m.nfe = 0;
    m.predict = [this](std::span<const float>, std::span<const float>, std::span<const int64_t> trajectory, int64_t step, int64_t,
                       std::span<float> out) {
      const auto mean = std::span<const float>(climatology_).subspan(static_cast<size_t>(step - scores_.initial_step) * frame_, frame_);
      for (size_t b = 0; b < trajectory.size(); ++b) std::copy(mean.begin(), mean.end(), out.begin() + static_cast<std::ptrdiff_t>(b * frame_));
    };
    return m;
  }

  // Trajectories held at once: truth, inputs, one prediction with all members, the ensemble mean in double.
  int64_t chunk_size() const {
    const bool stochastic = std::any_of(models_.begin(), models_.end(), [](const EvalModel& m) { return m.stochastic; });
    const auto per_trajectory =
        static_cast<int64_t>(layout_.sample() * sizeof(float)) * (6 + (stochastic ? in_.ensemble : 1)) +
        std::max<int64_t>(0, history_ - 1) * static_cast<int64_t>(frame_ * sizeof(float)) + static_cast<int64_t>(coeff_);
    int64_t n = std::clamp<int64_t>(in_.memory_budget / per_trajectory, 1, scores_.samples);
    if (n > in_.batch) n -= n % in_.batch;  // PDEBench's batches stay whole
    return n;
  }

  void evaluate_chunk(int64_t first, int64_t n) {
    const auto count = static_cast<size_t>(n);
    const size_t before = static_cast<size_t>(history_) * frame_;
    truth_.resize(count * layout_.sample());
    seen_.resize(count * before);
    context_.resize(info_.steady ? 0 : count * frame_);
    coeffs_.resize(count * coeff_);
    trajectories_.assign(members_.begin() + first, members_.begin() + first + n);
    std::vector<float> buffer(before + layout_.sample());
    for (size_t b = 0; b < count; ++b) {
      const int64_t trajectory = trajectories_[b];
      in_.data.read(trajectory, scores_.initial_step - history_, history_ + layout_.frames, buffer);
      const auto first_predicted = buffer.begin() + static_cast<std::ptrdiff_t>(before);
      std::copy(buffer.begin(), first_predicted, seen_.begin() + static_cast<std::ptrdiff_t>(b * before));
      if (!info_.steady) std::copy_n(first_predicted - static_cast<std::ptrdiff_t>(frame_), frame_, &context_[b * frame_]);
      std::copy(first_predicted, buffer.end(), truth_.begin() + static_cast<std::ptrdiff_t>(b * layout_.sample()));
      if (coeff_ > 0) in_.data.read_coeff(trajectory, std::span<float>(coeffs_).subspan(b * coeff_, coeff_));
    }
    if (file_ != nullptr) {
      file_->write("truth", first, n, 0, layout_.frames, layout_.channels, truth_);
      if (info_.steady) {
        file_->write("context", first, n, 0, 1, info_.coeff_channels, coeffs_);
      } else {
        file_->write("context", first, n, 0, 1, layout_.channels, context_);
      }
    }
    for (size_t i = 0; i < models_.size(); ++i) {
      run_mode(i, first, n, false);
      if (!info_.steady) run_mode(i, first, n, true);
    }
  }

  void run_mode(size_t index, int64_t first, int64_t n, bool rollout) {
    const EvalModel& model = models_[index];
    const int64_t members = model.stochastic ? in_.ensemble : 1;
    const auto m = static_cast<size_t>(members), count = static_cast<size_t>(n), batch = static_cast<size_t>(in_.batch);
    prediction_.resize(count * m * layout_.sample());  // [n, M, T, C, cells]
    for (size_t start = 0; start < count; start += batch) {
      for (size_t member = 0; member < m; ++member) predict_batch(index, start, std::min(batch, count - start), member, m, rollout);
    }
    accumulators_[index].add(rollout, n, truth_, prediction_, context_, coeffs_, trajectories_);
    if (file_ != nullptr) {
      file_->write((rollout ? "rollout/" : "one_step/") + model.name, first, n, model.stochastic ? members : 0, layout_.frames,
                   layout_.channels, prediction_);
    }
    const bool shown = first == 0 && model.name != "climatology" && rollout == !info_.steady;
    if (model.stochastic && members >= 2) {
      summarise(model.name, first, n, rollout, shown);
    } else if (shown && !model.stochastic) {
      scores_.pictures.push_back({model.name, rollout, first_sample(truth_), first_sample(prediction_), {}});
    }
  }

  std::vector<float> first_sample(const std::vector<float>& all) const {
    return {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(layout_.sample())};
  }

  // Mean, spread and quantiles of the members in prediction_, one trajectory at a time: memory does not grow with the chunk.
  void summarise(const std::string& name, int64_t first, int64_t n, bool rollout, bool shown) {
    const size_t size = static_cast<size_t>(in_.ensemble) * layout_.sample();
    for (int64_t b = 0; b < (file_ != nullptr ? n : shown ? 1 : 0); ++b) {
      const auto s = metrics::summarise_cells(std::span<const float>(prediction_).subspan(static_cast<size_t>(b) * size, size), in_.ensemble);
      if (shown && b == 0) scores_.pictures.push_back({name, rollout, first_sample(truth_), s.mean, s.std});
      if (file_ == nullptr) continue;
      const std::string group = std::string("ensemble/") + (rollout ? "rollout/" : "one_step/") + name;
      for (const auto& [object, values] : {std::pair{"/mean", &s.mean}, {"/std", &s.std}, {"/q05", &s.q05}, {"/q95", &s.q95}}) {
        file_->write(group + object, first + b, 1, 0, layout_.frames, layout_.channels, *values);
      }
    }
  }

  void predict_batch(size_t index, size_t start, size_t b, size_t member, size_t members, bool rollout) {
    const EvalModel& model = models_[index];
    const size_t frames = static_cast<size_t>(layout_.frames), sample = layout_.sample();
    const size_t before = static_cast<size_t>(history_), context = info_.steady ? 0 : static_cast<size_t>(model.context);
    input_.resize(b * context * frame_);
    output_.resize(b * frame_);
    const auto coeff = std::span<const float>(coeffs_).subspan(start * coeff_, b * coeff_);
    const auto ids = std::span<const int64_t>(trajectories_).subspan(start, b);
    for (size_t t = 0; t < frames; ++t) {
      for (size_t k = 0; k < b; ++k) {
        for (size_t j = 0; j < context; ++j) {
          const size_t at = before + t - context + j;  // counted from the first frame of seen_
          const float* from = at < before ? &seen_[((start + k) * before + at) * frame_]
                              : rollout   ? &prediction_[((start + k) * members + member) * sample + (at - before) * frame_]
                                          : &truth_[(start + k) * sample + (at - before) * frame_];
          std::copy_n(from, frame_, &input_[(k * context + j) * frame_]);
        }
      }
      const auto started = std::chrono::steady_clock::now();
      model.predict(input_, coeff, ids, scores_.initial_step + static_cast<int64_t>(t), static_cast<int64_t>(member), output_);
      accumulators_[index].add_time(std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count(), b);
      for (size_t k = 0; k < b; ++k) {
        std::copy_n(&output_[k * frame_], frame_, &prediction_[((start + k) * members + member) * sample + t * frame_]);
      }
    }
  }

  const EvalInput& in_;
  const data::SetInfo info_;
  const std::vector<int64_t> members_;
  PredictionsFile* file_;
  Layout layout_;
  size_t cells_ = 0, frame_ = 0, coeff_ = 0;  // values per frame and per coefficient field
  int64_t history_ = 0;                       // frames before the first predicted one that some model sees
  std::vector<double> times_from_context_;
  std::vector<EvalModel> models_;
  std::vector<ModelAccumulator> accumulators_;
  std::vector<float> climatology_, truth_, seen_, context_, coeffs_, prediction_, input_, output_;  // seen_ [n, history_, C, cells]; context_: its last frame
  std::vector<int64_t> trajectories_;
  SetScores scores_;
};

}  // namespace

SetScores evaluate_set(const EvalInput& input, const std::vector<EvalModel>& models, PredictionsFile* predictions) {
  assert(input.batch >= 1 && input.ensemble >= 1);
  return SetEvaluator(input, models, predictions).run();
}

}  // namespace ups::run
