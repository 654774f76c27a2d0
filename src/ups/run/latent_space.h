// latent.space ae: the trained autoencoder of a run as the space of its later stages.
#pragma once
#include "ups/models/field_operator.h"
#include "ups/run/run_config.h"
#include "ups/run/trained.h"

namespace ups::run {

// The stages that work on latents with latent.space ae: all of the time-dependent set but the autoencoder.
bool works_on_latents(const RunConfig& config, const std::string& stage);
// The run's finished autoencoder on the device of the space, its averaged weights if there are any. Exit 4 without one.
std::unique_ptr<models::FieldAutoencoder> load_autoencoder(const RunConfig& config, const stages::FieldSpace& space, const TrainedStage& trained);
// states of `space` become latents of the run's finished autoencoder.
void use_autoencoder(const RunConfig& config, stages::FieldSpace& space, train::CheckpointStore& store, const std::string& needed_by);

// The floor rule: what the autoencoder alone loses against what the operator gets wrong in one step, nRMSE in physical units over the
// predicted frames of a split, and the same within the upper third of the resolved wavenumbers. A floor of a third of the error adds 5 % to it.
struct LatentFloor {
  double autoencoder = 0, operator_error = 0, upper_autoencoder = 0, upper_operator = 0;
  static constexpr double kLimit = 0.33, kUpperLimit = 0.5;
  bool holds() const { return autoencoder <= kLimit * operator_error && upper_autoencoder <= kUpperLimit * upper_operator; }
  std::string text() const;
};
LatentFloor latent_floor(stages::FieldSpace& space, const models::FieldOperator& op, data::Split split, int64_t context, int64_t initial_step);

}  // namespace ups::run
