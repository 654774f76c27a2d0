// Any readable data set as one HDF5 file of ours: for `ups-data convert`.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ups::data {

struct ConvertOptions {
  std::vector<std::string> in;   // files of one set with equal parameters, in this order
  std::string out;
  std::string to = "auto";       // pdebench | pdebench_darcy | pdebench_group | ups_h5 | well; auto: the first that holds the set
  std::string format = "auto";   // of the inputs
  std::string select;            // "a:b": trajectories a to b - 1 of all; either may be left out
  int64_t stride = 1;            // keep every n-th cell per axis
  int64_t stride_t = 1;          // keep every n-th frame
  std::string resample = "stride";  // or lowpass: means of blocks of `stride` cells
  std::string constants;         // fields that do not change in time beside some that do: "drop" or "channels"
  bool overwrite = false;
  std::string max_dataset_bytes = "64GiB";
};

// Streams window by window (16 MiB) into OUT.tmp, syncs and renames. Keeps the root's scalar and text attributes of the first input
// and adds family, channels, boundary, parameters, which the readers believe, and converted_from, converted_by. Values are copied as
// they are. Returns one line about the result. Throws Error: exit 2 impossible requests, 3 unreadable data, 7 disk.
std::string convert(const ConvertOptions& options);

}  // namespace ups::data
