// Options of ups-eval.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ups::run {

struct EvalArgs {
  std::string run;                       // --run
  std::string split = "test";            // --split
  std::vector<std::string> where;        // --where NAME=VALUE: trajectories with these PDE parameters only
  std::optional<int64_t> horizon, initial_step, ensemble, batch_size;
  std::string metrics = "pdebench";      // --metrics pdebench | pdebench-exact
  std::string corrector_mode = "all";    // --corrector-mode all | off | mean | sample | ensemble_mean
  std::string sampler;                   // --sampler heun:8 | euler:4; empty = the run's own
  std::vector<std::string> ttc;          // --ttc KEY=VALUE of the ttc block, for this evaluation
  std::string save_predictions;          // --save-predictions
  std::string output_prefix;             // --output-prefix; empty = <run>/eval/evaluation
  bool print_json = false;
  bool plots = true;                     // --no-plots
  std::string device = "auto";
  int64_t threads = 0;                   // 0 = the run's own
};

void add_eval_options(CLI::App& app, EvalArgs& args);

}  // namespace ups::run
