// Stages and networks from a configuration. The only place that knows which stage needs what.
#pragma once
#include <functional>
#include <memory>

#include "ups/run/run_config.h"
#include "ups/run/trained.h"
#include "ups/stages/attractor_stage.h"
#include "ups/stages/autoencoder_stage.h"
#include "ups/stages/distill_stage.h"
#include "ups/stages/latent_source.h"
#include "ups/stages/operator_stage.h"

namespace ups::run {

std::unique_ptr<models::FieldOperator> build_operator(const RunConfig& config, const stages::FieldSpace& space, uint64_t seed);
// The operator with the best weights of its stage, the average's unless prefer_raw. Exit 4 when they belong to other data.
std::unique_ptr<models::FieldOperator> load_operator(const RunConfig& config, const stages::FieldSpace& space, const TrainedStage& trained,
                                                     bool prefer_raw = false);
// residual_rms may hold placeholders (1) when weights are loaded afterwards.
std::unique_ptr<models::Corrector> build_corrector(const RunConfig& config, const stages::FieldSpace& space,
                                                   const std::vector<double>& residual_rms, uint64_t seed);
// The corrector with the best weights of diff_residual or consistency_distill. Exit 4 when they belong to other data.
std::unique_ptr<models::Corrector> load_corrector(const RunConfig& config, const stages::FieldSpace& space, const TrainedStage& trained);
// statistics: mean field and scale; placeholders when weights are loaded afterwards.
std::unique_ptr<models::SteadyField> build_steady(const RunConfig& config, const stages::FieldSpace& space,
                                                  const stages::SteadyStatistics& statistics, uint64_t seed);
// Share of null-noise rows. 1 = the mean mode is all there is: no flow rows, no samples, no noise level in the network; always so under
// operator.architecture_type fno and unet, in which the steady prior takes part.
double steady_null_share(const RunConfig& config);
// What diff_residual trains for, and how samples are drawn: diffusion.objective and diffusion.sampler.
const stages::ResidualObjective& corrector_objective(const RunConfig& config);
const stages::DistillObjective& student_objective(const RunConfig& config);
stages::CorrectorOptions corrector_options(const RunConfig& config, const data::SetInfo& info);

// A stage ready to train, with what it borrows.
struct BuiltStage {
  std::unique_ptr<train::Stage> stage;
  std::unique_ptr<models::FieldOperator> frozen_operator;
  std::vector<train::Parent> parents;
  int64_t window = 2;
  bool reference = false;  // UPS's loop rules
  std::function<std::unique_ptr<train::BatchSource>(std::unique_ptr<train::BatchSource>)> wrap;  // fields -> what the stage trains on
};
// The block of the configuration that a stage reads: its own, or the operator's for operator_equal_compute.
std::string config_key(const std::string& key);
// key: autoencoder, operator, diff_residual, consistency_distill, steady_prior, or operator_equal_compute (the operator again, for longer).
BuiltStage build_stage(const RunConfig& config, const std::string& key, stages::FieldSpace& space, train::CheckpointStore& store);

}  // namespace ups::run
