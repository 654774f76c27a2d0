// Checkpoints that survive a kill at any instruction (reliability.md 2 and 3).
//
//   ckpt/<stage>/step-<updates, 9 digits>/{model,ema,optim,rng}.safetensors, state.json, MANIFEST.json
//   ckpt/<stage>/{best,last}    text files that name a step          ckpt/index.jsonl   a hint, never trusted
//
// Commit: temporary directory, write and hash, fsync files, manifest, fsync directory, rename, fsync parent. A checkpoint exists when
// its directory has its final name; loading verifies every byte against the manifest and the manifest against itself.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ups/io/tensors.h"

namespace ups::train {

// A checkpoint of an earlier stage that this one was trained on.
struct Parent {
  std::string stage;
  int64_t step = 0;
  std::string manifest_hash;  // XXH3-128 of its MANIFEST.json
};

struct CheckpointContent {
  std::string stage;                        // config key, a safe name
  int64_t step = 0;                         // updates
  io::NamedTensors model, ema, optim, rng;  // rng: opaque bytes; empty lists write no file (model always does)
  std::string state_json = "{}";            // RunState::json(): a canonical JSON object
  std::string config_hash, split_hash, normalizer_hash, encoder_hash;
  std::vector<Parent> parents;
  std::map<std::string, std::string> build, exact;  // versions; threads, device kind .. (what byte equality depends on)
  // Set by load:
  std::filesystem::path path;
  std::string manifest_hash;
};

class CheckpointStore {
 public:
  // ckpt_dir: <run>/ckpt, created on the first commit. keep: newest steps per stage that rotation leaves (>= 1), besides best and
  // every step that another stage names as parent.
  explicit CheckpointStore(std::filesystem::path ckpt_dir, int keep = 2);

  // Durable when it returns. Replaces an existing checkpoint of the same step atomically. Throws Error:
  //   exit 5  a weight, average or moment is not finite; the content lies in <run>/diverged/ for study, nothing else changed
  //   exit 7  disk; older checkpoints are intact (old ones were pruned and the commit retried once before)
  // Needs the exclusive run lock, as do clean() and load_newest().
  void commit(const CheckpointContent& content, bool is_best);

  // Newest verified checkpoint of a stage. Damaged ones are reported, renamed to *.corrupt and passed over; exit 4 if all were
  // damaged, nullopt if there never was one.
  std::optional<CheckpointContent> load_newest(const std::string& stage);
  // Verified; exit 4 naming the file and what is wrong. path: a step directory.
  static CheckpointContent load(const std::filesystem::path& path);
  // Every parent must still be on disk with the recorded hash; exit 4 naming both hashes.
  void verify_parents(const CheckpointContent& content) const;

  std::filesystem::path step_path(const std::string& stage, int64_t step) const;
  std::vector<int64_t> steps(const std::string& stage) const;           // ascending, by directory scan
  std::optional<int64_t> best_step(const std::string& stage) const;     // from the files best and last; the step exists on disk
  std::optional<int64_t> last_step(const std::string& stage) const;
  std::string manifest_hash(const std::string& stage, int64_t step) const;  // exit 4 if absent

  // Removes what died processes left behind (.tmp-*, .trash-*).
  void clean() const;

 private:
  void commit_once(const CheckpointContent& content, const std::filesystem::path& parent, const std::string& final_name) const;
  void rotate(const std::string& stage, int keep) const;
  std::optional<int64_t> named_step(const std::string& stage, const char* file) const;
  std::filesystem::path dir_;
  int keep_;
};

// "step-000000120"; and back, nullopt if the name is anything else.
std::string step_name(int64_t step);
std::optional<int64_t> parse_step_name(const std::string& name);

// Exit 4: "PLACE: was made with another WHAT (FOUND), this run has EXPECTED", if the two differ.
void require_same_hash(const std::string& place, const std::string& what, const std::string& expected, const std::string& found);

}  // namespace ups::train
