// ups-eval warmstart: what a steady prior saves a solver (docs/metrics.md).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ups::run {

struct WarmStartArgs {
  std::string run;                  // --run
  std::string split = "test";       // --split
  std::vector<int64_t> iterations;  // --iterations; empty = the run's stages.steady_prior.warm_start_iters
  bool print_json = false;          // --print-json
};

void add_warm_start_options(CLI::App& app, WarmStartArgs& args);
// Jacobi-PCG on the set's own discrete problem from zero, from the train mean field and from the prior's mean mode: errors after k
// iterations and iterations to an error tolerance. Table on stderr, RUN/eval/warmstart.json, RUN/plots/warmstart.svg. Exit 3 when the discrete operator of the
// set is not known, exit 4 when the run has no finished steady_prior.
int run_warm_start(const WarmStartArgs& args, const std::string& command_line);

}  // namespace ups::run
