// One writer per run directory: flock on <run>/.lock for the life of the process. Death frees it; there is nothing stale to remove.
#pragma once
#include <chrono>
#include <filesystem>
#include <string>

#include "ups/io/files.h"

namespace ups::train {

class RunLock {
 public:
  enum class Mode { exclusive, shared };
  // Throws Error (exit 8) "run directory runs/x is in use by host:pid since .." when somebody else holds it for longer than
  // patience: a killed process keeps its lock until the kernel has taken its memory apart, so a restart right after a kill waits.
  // Where the file system cannot lock (ENOLCK, EOPNOTSUPP) a warning is printed once and the run goes on. A missing directory is exit 7.
  RunLock(const std::filesystem::path& run_dir, Mode mode, const std::string& command, std::chrono::milliseconds patience = {});

 private:
  io::Fd fd_;
};

}  // namespace ups::train
