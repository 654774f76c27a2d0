// Finished stages of a run, read from their verified checkpoints.
#pragma once
#include <optional>
#include <string>

#include "ups/stages/field_space.h"
#include "ups/train/checkpoint.h"
#include "ups/train/run_state.h"

namespace ups::run {

struct TrainedStage {
  io::NamedTensors raw, average;   // best weights; average is empty without EMA
  train::Parent lineage;
  train::RunState state;
  std::vector<train::Parent> parents;
  std::string split_hash, normalizer_hash;
  std::string path;
  // The weights that evaluation and later stages use: the average's, or the raw ones (reference semantics and stages without EMA).
  const io::NamedTensors& weights(bool prefer_raw = false) const { return prefer_raw || average.empty() ? raw : average; }
};

// Newest verified checkpoint of a stage, if the stage has finished. `key` is the folder below ckpt/.
std::optional<TrainedStage> load_trained(train::CheckpointStore& store, const std::string& key);
// The same, or exit 4 naming the stage to run first.
TrainedStage require_trained(train::CheckpointStore& store, const std::string& key, const std::string& needed_by);
// Exit 4 naming both hashes when the stage was trained on another split, normaliser or autoencoder.
void require_same_space(const TrainedStage& stage, const stages::FieldSpace& space);

}  // namespace ups::run
