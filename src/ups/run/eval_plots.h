// Pictures of an evaluation and of the training behind it, written as SVG and PNG files.
#pragma once
#include <string>
#include <vector>

#include "ups/run/evaluation.h"

namespace ups::run {

// Per set: error growth beside persistence, sample fields (truth, prediction, error); with stochastic models also their calibration (rank
// histogram, coverage) and their spread beside the error of their mean. Returns the paths.
std::vector<std::string> write_eval_plots(const std::string& folder, const std::vector<SetScores>& sets);
// Loss, validation and learning rate per stage from metrics.jsonl. Returns the paths.
std::vector<std::string> write_training_plots(const std::string& folder, const std::string& metrics_jsonl);

}  // namespace ups::run
