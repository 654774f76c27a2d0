#include "ups/run/trained.h"

#include <algorithm>

#include "ups/core/error.h"

namespace ups::run {

std::optional<TrainedStage> load_trained(train::CheckpointStore& store, const std::string& key) {
  auto content = store.load_newest(key);
  if (!content) return std::nullopt;
  TrainedStage t;
  t.path = content->path.string();
  t.state = train::RunState::from_json(content->state_json, t.path + "/state.json");
  if (!t.state.finished) return std::nullopt;
  for (auto& [name, tensor] : content->optim) {
    if (name.rfind("best/raw/", 0) == 0) t.raw.emplace_back(name.substr(9), tensor);
    if (name.rfind("best/ema/", 0) == 0) t.average.emplace_back(name.substr(9), tensor);
  }
  t.lineage = {key, content->step, content->manifest_hash};
  t.parents = content->parents;
  t.split_hash = content->split_hash;
  t.normalizer_hash = content->normalizer_hash;
  return t;
}

TrainedStage require_trained(train::CheckpointStore& store, const std::string& key, const std::string& needed_by) {
  auto t = load_trained(store, key);
  if (!t)
    throw checkpoint_error("ckpt/" + key, "stage " + needed_by + " needs the finished stage " + key + ", which this run does not have",
                           "run --stage " + key + " first with the same --run-dir");
  return std::move(*t);
}

void require_same_space(const TrainedStage& stage, const stages::FieldSpace& space) {
  train::require_same_hash(stage.path, "data split", space.dataset->split_hash(), stage.split_hash);
  train::require_same_hash(stage.path, "normaliser", space.normalizer.hash(), stage.normalizer_hash);
  const auto encoder = std::find_if(stage.parents.begin(), stage.parents.end(), [](const train::Parent& p) { return p.stage == "autoencoder"; });
  const std::string now = space.encoded_by ? space.encoded_by->manifest_hash : "none";
  const std::string then = encoder == stage.parents.end() ? "none" : encoder->manifest_hash;
  if (now != then)
    throw checkpoint_error(stage.path, "was trained on the latents of another autoencoder (" + then + ", this run has " + now + ")",
                           "train the stage again, or restore that autoencoder");
}

}  // namespace ups::run
