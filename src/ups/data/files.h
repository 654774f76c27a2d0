// From options to the list of files.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/data/options.h"

namespace ups::data {

struct FileChoice {
  std::string path;
  std::optional<Split> named_split;  // UPS names: <task>_<split>.h5 and <task>_<split>_*.h5
};

// The Well's folders: .../train/x.hdf5, valid, test.
std::optional<Split> split_of_folder(const std::string& path);

// data.files in the given order; else the Zarr store data.path (and data.group in it); else, in name order, UPS shards or PDEBench files of data.task below data.root, or without a task the
// files below data.root/data/{train,valid,test} (The Well). Nothing found: exit 3; neither files nor root and task: exit 2.
std::vector<FileChoice> choose_files(const DataOptions& options);

// Last part of a path: what messages name a file by.
std::string base_name(const std::string& path);

}  // namespace ups::data
