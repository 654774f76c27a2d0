// MANIFEST.json of a checkpoint: what files and tensors it holds, their hashes, and its lineage. Private to
// train/checkpoint*.
#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "ups/train/checkpoint.h"

namespace ups::train::detail {

inline constexpr size_t kMaxManifest = size_t{1} << 20;

struct FileRecord {
  uint64_t bytes = 0;
  std::string hash;  // XXH3-128
};

struct TensorRecord {
  std::string dtype;
  std::vector<int64_t> shape;
  std::string hash;  // XXH3-64 of the data
};

struct Manifest {
  std::string stage, created;
  int64_t step = 0;
  std::map<std::string, FileRecord> files;
  std::map<std::string, std::map<std::string, TensorRecord>> tensors;  // by group: model, ema
  std::vector<Parent> parents;
  std::string config_hash, split_hash, normalizer_hash, encoder_hash;
  std::map<std::string, std::string> build, exact;

  // Canonical JSON and '\n'. Holds its own hash under "self", so that a flipped bit anywhere in it is seen. Tensor records
  // are left out if the text would exceed kMaxManifest.
  std::string text() const;
  // Exit 4 on anything that text() would not write.
  static Manifest parse(std::string_view text, const std::string& place);
};

// Parses JSON that must be canonical (sorted keys, no whitespace, '\n' at the end) and at most 16 levels deep: equal to its
// own dump, which also excludes duplicate keys. Exit 4.
nlohmann::json parse_canonical(std::string_view text, const std::string& place);

}  // namespace ups::train::detail
