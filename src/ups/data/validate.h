// The checks of data.md 3 to 6 on whole files: for `ups-data validate`.
#pragma once
#include <string>
#include <vector>

#include "ups/data/options.h"

namespace ups::data {

struct ValidateOptions {
  DataOptions data;        // split settings, limits, format; data.files is replaced by the arguments
  bool leaks = false;      // cut the split over all files together and look for equal first frames in different splits
  bool checksum = false;   // compare with FILE.xxh3, or write it if it does not exist
  bool untrusted = false;  // everything in a child process with limits on memory, CPU and system calls; its death is exit 3
};

// A report with one line per file. The first problem of a file throws Error: exit 3 with file, object, expected and found.
std::string validate(const std::vector<std::string>& files, const ValidateOptions& options = ValidateOptions());

}  // namespace ups::data
