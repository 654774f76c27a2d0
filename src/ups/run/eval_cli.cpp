#include "ups/run/eval_cli.h"

#include <CLI/CLI.hpp>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::run {

void add_eval_options(CLI::App& app, EvalArgs& args) {
  const auto count = CLI::Range(int64_t{1}, int64_t{1} << 40);
  app.add_option("--run", args.run, "run directory written by ups-train");
  app.add_option("--split", args.split, "which split to score (test is the default; it is opened once per run)")
      ->check(CLI::IsMember({"test", "val", "train"}));
  app.add_option("--where", args.where, "NAME=VALUE of a PDE parameter: score only the trajectories that have it")->allow_extra_args(false);
  app.add_option("--horizon", args.horizon, "predict at most N frames (default: all)")->check(count);
  app.add_option("--initial-step", args.initial_step, "context frames; the rollout starts from the last (default: data.initial_step)")
      ->check(count);
  app.add_option("--metrics", args.metrics,
                 "pdebench: means over samples; pdebench-exact: also PDEBench's averaging by batch (needs --batch-size)")
      ->check(CLI::IsMember({"pdebench", "pdebench-exact"}));
  app.add_option("--batch-size", args.batch_size, "trajectories per model call (default: 16)")->check(count);
  app.add_option("--corrector-mode", args.corrector_mode,
                 "corrector rows: all, off, mean, sample, ensemble_mean (= sample; errors of samples are those of their mean)")
      ->check(CLI::IsMember({"all", "off", "mean", "sample", "ensemble_mean"}));
  app.add_option("--ensemble", args.ensemble, "members of stochastic rows (default: 8)")->check(CLI::Range(int64_t{1}, int64_t{4096}));
  app.add_option("--sampler", args.sampler, "METHOD:STEPS of sampled rows, heun or euler, for example heun:8 (default: the run's own)");
  app.add_option("--ttc", args.ttc,
                 "KEY=VALUE of the ttc block, for this evaluation; adds the rows ttc and ttc_control_mean: --ttc candidates=8 --ttc horizon=2")
      ->allow_extra_args(false);
  app.add_option("--save-predictions", args.save_predictions,
                 "write truth and all predictions to this HDF5 file; stochastic rows also as mean, std and 5 % and 95 % quantiles");
  app.add_option("--output-prefix", args.output_prefix, "write PREFIX.json and PREFIX.csv (default: RUN/eval/evaluation)");
  app.add_flag("--print-json", args.print_json, "print evaluation.json instead of the table on stdout");
  app.add_flag("!--no-plots", args.plots, "do not write pictures");
  app.add_option("--device", args.device, "auto, cpu, cuda or cuda:N");
  app.add_option("--threads", args.threads, "CPU threads (default: the run's own)")->check(CLI::Range(int64_t{1}, int64_t{4096}));
}

}  // namespace ups::run
