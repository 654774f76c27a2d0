// What is in a file: for `ups-data inspect`. Field data are read only for statistics.
#pragma once
#include <cstdint>
#include <string>

namespace ups::data {

struct InspectOptions {
  std::string format = "auto";
  bool attrs = false;   // attributes of the root and of the first group, escaped
  int64_t stats = 0;    // statistics of the first so many trajectories
  std::string max_dataset_bytes = "64GiB";
};

// Exit 3 for files that the reader would refuse.
std::string inspect_text(const std::string& path, const InspectOptions& options = InspectOptions());
std::string inspect_json(const std::string& path, const InspectOptions& options = InspectOptions());  // one object, indented

}  // namespace ups::data
