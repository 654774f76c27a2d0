// Who trains, who validates, who tests: a pure function of options and trajectory keys (data.md 6).
#pragma once
#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/data/options.h"

namespace ups::data {

// One file as the split sees it.
struct SplitFile {
  std::string path, family;
  bool known_family = false, per_group = false;  // per-group files: PDEBench cuts the test part from the end
  std::optional<Split> named_split;
  bool named_by_folder = false;  // The Well's folders instead of UPS's file names
  std::map<std::string, double> params;
  std::vector<int64_t> ids;       // stored index or group number of each trajectory
  std::vector<int64_t> selected;  // positions in ids left after reduced_batch, num_samples_max and rejection
};

// Trajectory numbers count all trajectories of all files, in order, whether selected or not.
using Members = std::array<std::vector<int64_t>, 3>;  // by Split, ascending

// The mode that is used: hash becomes ups or well when names or folders of the files already tell the splits.
std::string resolve_split_mode(const DataOptions& options, const std::vector<SplitFile>& files);
// Throws exit 2 for impossible options, exit 3 for an unusable split file or an empty split; warns below 8 in val or test.
Members make_split(const DataOptions& options, const std::string& mode, const std::vector<SplitFile>& files);
// Split of one key in [0, 1): hash of the key against the cumulated fractions.
Split split_of_key(const std::string& key, uint64_t seed, const std::vector<double>& fractions);

}  // namespace ups::data
