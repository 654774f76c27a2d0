// ups-eval: scores a run in physical units.
#include <filesystem>

#include "ups/config/cli.h"
#include "ups/run/compare.h"
#include "ups/run/distill_report.h"
#include "ups/run/eval_cli.h"
#include "ups/run/eval_warm_start.h"
#include "ups/run/evaluate_run.h"
#include "ups/run/paths.h"

int main(int argc, char** argv) {
  CLI::App app("Scores the stages of a run on held-out trajectories, in physical units, beside persistence and climatology.", "ups-eval");
  ups::config::CommonFlags flags;
  ups::run::EvalArgs args;
  ups::config::add_common(app, flags);
  ups::run::add_eval_options(app, args);
  ups::run::CompareArgs compare;
  CLI::App* const verb = app.add_subcommand("compare", "Trains and scores contenders at equal CPU time: the same data, seeds and choice of learning rate for each");
  ups::run::add_compare_options(*verb, compare);
  ups::run::PathsArgs paths;
  CLI::App* const paths_verb = app.add_subcommand("paths", "What each path of a trained operator contributes, and its error with that path left out");
  ups::run::add_paths_options(*paths_verb, paths);
  ups::run::WarmStartArgs warm_start;
  CLI::App* const warm_start_verb = app.add_subcommand("warmstart", "What a trained steady prior saves a solver: errors after k iterations from zero, the mean field and the prior");
  ups::run::add_warm_start_options(*warm_start_verb, warm_start);
  ups::run::DistillReportArgs distill;
  CLI::App* const distill_verb = app.add_subcommand("distill", "What a few-step student kept of its teacher: path, CRPS, spread and cost with the same noise");
  ups::run::add_distill_options(*distill_verb, distill);
  std::string command = "ups-eval";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  return ups::config::run_main("ups-eval", argc, argv, app, flags, [&] {
    if (paths_verb->parsed()) return ups::run::run_paths(paths, command);
    if (warm_start_verb->parsed()) return ups::run::run_warm_start(warm_start, command);
    if (distill_verb->parsed()) return ups::run::run_distill_report(distill, command);
    if (!verb->parsed()) return ups::run::run_evaluation(args, command);
    const auto programs = std::filesystem::read_symlink("/proc/self/exe").parent_path().string();
    return ups::run::run_compare(compare, programs);
  });
}
