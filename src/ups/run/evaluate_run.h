// Scores the stages of a run on its held-out split and writes table, JSON, CSV, pictures and predictions.
#pragma once
#include "ups/run/eval_cli.h"
#include "ups/run/session.h"

namespace ups::run {

// Prints the verdict table to stderr (the JSON to stdout with print_json).
void evaluate_session(Session& session, const EvalArgs& args);
// ups-eval --run: opens the run directory (shared lock) with its own configuration.
int run_evaluation(const EvalArgs& args, const std::string& command_line);

}  // namespace ups::run
