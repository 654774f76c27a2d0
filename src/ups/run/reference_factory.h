// The stages with objective `reference`: UPS's networks, losses and latent space.
#pragma once
#include "ups/run/stage_factory.h"

namespace ups::run {

BuiltStage build_reference_stage(const RunConfig& config, const std::string& key, stages::FieldSpace& space, train::CheckpointStore& store);

}  // namespace ups::run
