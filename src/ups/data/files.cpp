#include "ups/data/files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/family.h"

namespace ups::data {
namespace {

namespace fs = std::filesystem;

bool is_hdf5_name(const std::string& name) { return ends_with(name, ".h5") || ends_with(name, ".hdf5"); }

// "burgers1d_val.h5", "burgers1d_train_003.h5" -> split; task may be empty (any).
std::optional<Split> split_in_name(const std::string& path, const std::string& task) {
  const std::string stem = fs::path(path).stem().string();
  static const std::pair<const char*, Split> kNames[] = {
      {"train", Split::train}, {"val", Split::val}, {"valid", Split::val}, {"test", Split::test}};
  for (const auto& entry : kNames) {
    const std::string mark = std::string("_") + entry.first;
    const size_t at = stem.rfind(mark);
    if (at == std::string::npos || at == 0) continue;
    const size_t end = at + mark.size();
    if (end != stem.size() && stem[end] != '_') continue;
    if (task.empty() || stem.substr(0, at) == task) return entry.second;
  }
  return std::nullopt;
}

// HDF5 files of a folder in name order; none if it cannot be read.
std::vector<std::string> hdf5_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (const fs::directory_entry& e : fs::directory_iterator(folder, fs::directory_options::skip_permission_denied, ec)) {
    if (e.is_regular_file(ec) && is_hdf5_name(e.path().filename().string())) names.push_back(e.path().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<FileChoice> well_files(const std::string& root) {
  std::vector<FileChoice> chosen;
  for (const char* folder : {"train", "valid", "test"}) {
    for (const std::string& f : hdf5_files(fs::path(root) / "data" / folder)) chosen.push_back({f, split_of_folder(f)});
  }
  return chosen;
}

}  // namespace

std::optional<Split> split_of_folder(const std::string& path) {
  const std::string folder = fs::path(path).parent_path().filename().string();
  if (folder == "train") return Split::train;
  if (folder == "valid" || folder == "val") return Split::val;
  if (folder == "test") return Split::test;
  return std::nullopt;
}

std::vector<FileChoice> choose_files(const DataOptions& options) {
  std::vector<FileChoice> chosen;
  const auto limit = [&] {
    if (options.shard_limit && static_cast<int64_t>(chosen.size()) > *options.shard_limit) {
      chosen.resize(static_cast<size_t>(*options.shard_limit));
    }
  };
  const auto limit_per_split = [&] {  // so that a limit never removes a whole split
    std::vector<FileChoice> kept;
    for (Split s : {Split::train, Split::val, Split::test}) {
      int64_t n = 0;
      for (const FileChoice& c : chosen) {
        if (options.shard_limit && c.named_split == s && n++ < *options.shard_limit) kept.push_back(c);
      }
    }
    if (kept.empty()) limit();
    else chosen = std::move(kept);
  };
  if (!options.files.empty()) {
    for (const std::string& f : options.files) chosen.push_back({f, split_in_name(f, "")});
    limit();
    return chosen;
  }
  if (!options.path.empty()) return {{options.group.empty() ? options.path : options.path + "/" + options.group, std::nullopt}};
  if (!options.root.empty() && options.task.empty()) chosen = well_files(options.root);
  if (!chosen.empty()) {
    limit_per_split();
    return chosen;
  }
  if (options.root.empty() || options.task.empty()) {
    throw usage_error("data", "no data given: expected data.files, or data.root with data.task",
                      "for example data.files: [burgers.hdf5]");
  }
  std::error_code ec;
  if (!fs::is_directory(options.root, ec)) throw data_error(options.root, "expected the folder data.root, found none");
  const std::vector<std::string> names = hdf5_files(options.root);
  const std::string& task = options.task[0];
  for (const std::string& n : names) {
    if (const std::optional<Split> s = split_in_name(n, task)) chosen.push_back({n, s});
  }
  if (chosen.empty()) {
    for (const std::string& n : names) {
      const std::string family = family_from_name(n);
      if (!family.empty() && serves_task(family, task)) chosen.push_back({n, std::nullopt});
    }
  }
  if (chosen.empty()) {
    throw data_error(options.root, fmt::format("expected {}_train.h5 or PDEBench files of {}, found {} other HDF5 files", task, task,
                                               names.size()), "name the files in data.files");
  }
  limit_per_split();
  return chosen;
}

std::string base_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

}  // namespace ups::data
