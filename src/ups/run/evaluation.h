// Evaluation in physical units: what goes in, what comes out, and the driver's one function. Definitions: docs/metrics.md.
// Free of LibTorch: models are callbacks.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ups/data/dataset.h"
#include "ups/metrics/ensemble.h"
#include "ups/metrics/field_scores.h"
#include "ups/metrics/pdebench.h"
#include "ups/run/ttc_report.h"
#include "ups/run/warm_start.h"

namespace ups::run {

// One row of the table. Known names get sentences in the verdict: operator, operator_equal_compute, corrector_mean,
// corrector_sample, student_1step, student_2step, ttc, ttc_control_mean, steady_prior, steady_prior_sample.
struct EvalModel {
  // in: [B, context, C, cells] physical, oldest frame first, empty for steady sets; coeff: [B, Cc, cells] physical, empty when the set has none;
  // trajectory: [B] indices into the data set (PDE parameters, keyed noise); step: index of the frame to predict (0 for
  // steady sets); member: 0 for deterministic models; out: [B, C, cells] physical.
  using Predict = std::function<void(std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory,
                                     int64_t step, int64_t member, std::span<float> out)>;
  std::string name;
  int nfe = 1;              // network evaluations per frame
  int64_t context = 1;      // frames that it sees
  bool stochastic = false;  // run for every member; errors are those of the ensemble mean
  Predict predict;
};

struct EvalInput {
  data::Dataset& data;
  data::Split split = data::Split::test;
  std::vector<std::pair<std::string, double>> where;  // trajectories with these PDE parameters only (relative tolerance 1e-6)
  int64_t initial_step = 1;       // context frames; the rollout starts from frame initial_step - 1
  std::optional<int64_t> horizon;  // at most this many predicted frames
  int64_t ensemble = 8;           // members of stochastic models
  int64_t batch = 16;             // trajectories per model call
  int64_t memory_budget = int64_t{512} << 20;  // bytes of truth and predictions held at once
  bool exact_pdebench = false;    // also PDEBench's own averaging, with batches of `batch` trajectories
  std::vector<int64_t> warm_start_iterations = {5, 10, 20};  // of the solver on Darcy sets
};

// One prediction mode (one-step or rollout) of one model.
struct ModeScores {
  metrics::FieldResult field;                    // of the prediction, or of the ensemble mean
  std::optional<metrics::FieldResult> single;    // stochastic: every member judged alone
  std::optional<metrics::EnsembleResult> ensemble;
  std::optional<metrics::PdebenchBatch> exact;   // PDEBench's averaging, on request
};

struct ModelScores {
  std::string name;
  bool stochastic = false;
  int nfe = 0;                          // 0 for baselines
  std::optional<double> ms_per_step;    // wall time per frame and trajectory, one-step and rollout calls together
  ModeScores one_step;                  // steady sets: the solution
  std::optional<ModeScores> rollout;    // absent for steady sets
  std::optional<WarmStart> warm_start;
  // The mode that the columns without prefix describe.
  const ModeScores& primary() const { return rollout ? *rollout : one_step; }
};

// Fields of a few trajectories for the pictures.
struct SampleFields {
  std::string model;
  bool rollout = false;
  std::vector<float> truth, prediction;  // [T, C, cells] of the first trajectory; stochastic models: the ensemble mean
  std::vector<float> spread;             // [T, C, cells] standard deviation over the members; empty for deterministic models
};

struct SetScores {
  data::SetInfo info;
  std::string split_name, split_hash;
  int64_t initial_step = 1, frames = 0, samples = 0, members = 0;
  std::vector<double> times;             // [T] of the predicted frames
  double context_time = 0;
  std::vector<int64_t> trajectories;
  std::vector<int64_t> conserved;        // channels that count in crmse and drift
  std::vector<ModelScores> models;       // persistence, climatology, then the models in the given order
  std::vector<SampleFields> pictures;    // one per model that was given (stochastic: from two members on), plus persistence
  std::optional<TtcReport> ttc;
  const ModelScores* find(const std::string& name) const;
};

class PredictionsFile;  // run/predictions.h

// Channels whose spatial mean the equation keeps; all channels for a family that is not known.
std::vector<int64_t> conserved_channels(const data::SetInfo& info);

// Runs persistence, climatology and every model over the split: one-step from true frames, rollout from the last EvalModel::context
// frames before frame initial_step. Exit 2 when `where` names no parameter or leaves no trajectory. Trajectories are processed in
// chunks of at most memory_budget. Throws Error (exit 2) when initial_step leaves no frame, or a model sees more frames than that.
SetScores evaluate_set(const EvalInput& input, const std::vector<EvalModel>& models, PredictionsFile* predictions = nullptr);

}  // namespace ups::run
