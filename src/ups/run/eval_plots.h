// Pictures of an evaluation and of the training behind it, written as SVG and PNG files.
#pragma once
#include <string>
#include <vector>

#include "ups/run/evaluation.h"

namespace ups::run {

// Rollout error growth beside persistence (one SVG per set) and sample fields (truth, prediction, error). Returns the paths.
std::vector<std::string> write_eval_plots(const std::string& folder, const std::vector<SetScores>& sets);
// Loss, validation and learning rate per stage from metrics.jsonl. Returns the paths.
std::vector<std::string> write_training_plots(const std::string& folder, const std::string& metrics_jsonl);

}  // namespace ups::run
