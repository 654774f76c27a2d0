// ups-eval paths: the share of each path of a trained operator and its error with that path left out.
#pragma once
#include <string>

namespace CLI {
class App;
}

namespace ups::run {

struct PathsArgs {
  std::string run;            // --run
  std::string split = "val";  // --split val | test
  bool print_json = false;    // --print-json
};

void add_paths_options(CLI::App& app, PathsArgs& args);
// Share: the path's sum of ||output|| over blocks, divided by that of all paths. Left out: one-step and rollout nRMSE of the same weights
// without the path (no retraining: what the trained network relies on, not what another could do without). At most
// stages::kValidationTrajectories trajectories. Exit 2 when the operator is no pdet_window.
int run_paths(const PathsArgs& args, const std::string& command_line);

}  // namespace ups::run
