// One stage of a run: built, resumed or skipped, trained, exported.
#pragma once
#include "ups/run/session.h"

namespace ups::run {

struct StageOutcome {
  int signal = 0;         // 0: go on
  bool stopped = false;   // --stop-after was reached
  bool trained = true;    // false: the stage was finished before
};

// index and count are for the progress line. resume: continue from checkpoints that are there.
StageOutcome train_stage(Session& session, const TrainArgs& args, const std::string& key, int index, int count, bool resume);

// "operator" -> "operator", "diff_residual" -> "diffusion_residual": stem of the exported files.
std::string export_stem(const std::string& key);

}  // namespace ups::run
