// A training run from command line to exit code: run directory, stages in order, artefacts, resume, evaluation.
#pragma once
#include "ups/run/train_cli.h"

namespace ups::run {

// Trains (or dry-runs) what the arguments ask for. Returns 0 or 128 + signal; throws Error.
int run_training(const TrainArgs& args, const std::string& command_line);
// --dry-run: opens data, builds every stage, runs one micro-batch each, prints sizes and times; creates nothing.
int dry_run(const TrainArgs& args);

}  // namespace ups::run
