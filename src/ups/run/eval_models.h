// The trained stages of a run as callbacks on physical fields, for evaluation.
#pragma once
#include <memory>

#include "ups/run/attractor.h"
#include "ups/run/evaluation.h"
#include "ups/run/run_config.h"
#include "ups/run/trained.h"
#include "ups/stages/field_space.h"

namespace ups::run {

struct EvalChoice {
  std::string corrector_mode = "all";  // all | off | mean | sample | ensemble_mean
  Sampler sampler;
};

// Rows of the time-dependent set: operator, operator_equal_compute, corrector_mean, corrector_sample, student_1step, student_2step.
std::vector<EvalModel> transient_models(const RunConfig& config, stages::FieldSpace& space, train::CheckpointStore& store,
                                        const EvalChoice& choice);
// Rows of the steady set: steady_prior (mean mode) and, unless the network is deterministic, steady_prior_sample.
std::vector<EvalModel> steady_models(const RunConfig& config, stages::FieldSpace& space, train::CheckpointStore& store);

// Draws of a steady prior with objective attractor.
DrawState attractor_sampler(const RunConfig& config, stages::FieldSpace& space, train::CheckpointStore& store, Sampler sampler);

}  // namespace ups::run
