#include "ups/run/trained.h"

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

void require_same_data(const TrainedStage& stage, const std::string& split_hash, const std::string& normalizer_hash) {
  train::require_same_hash(stage.path, "data split", split_hash, stage.split_hash);
  train::require_same_hash(stage.path, "normaliser", normalizer_hash, stage.normalizer_hash);
}

}  // namespace ups::run
