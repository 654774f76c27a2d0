// Finished stages of a run, read from their verified checkpoints.
#pragma once
#include <optional>
#include <string>

#include "ups/train/checkpoint.h"
#include "ups/train/run_state.h"

namespace ups::run {

struct TrainedStage {
  io::NamedTensors raw, average;   // best weights; average is empty without EMA
  train::Parent lineage;
  train::RunState state;
  std::string split_hash, normalizer_hash;
  std::string path;
  // The weights that evaluation and later stages use: the average's, or the raw ones (reference semantics and stages without EMA).
  const io::NamedTensors& weights(bool prefer_raw = false) const { return prefer_raw || average.empty() ? raw : average; }
};

// Newest verified checkpoint of a stage, if the stage has finished. `key` is the folder below ckpt/.
std::optional<TrainedStage> load_trained(train::CheckpointStore& store, const std::string& key);
// The same, or exit 4 naming the stage to run first.
TrainedStage require_trained(train::CheckpointStore& store, const std::string& key, const std::string& needed_by);
// Exit 4 naming both hashes when the stage was trained on another split or normaliser.
void require_same_data(const TrainedStage& stage, const std::string& split_hash, const std::string& normalizer_hash);

}  // namespace ups::run
