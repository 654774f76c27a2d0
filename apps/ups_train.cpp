// ups-train: trains the stages of a configuration.
#include "ups/config/cli.h"
#include "ups/run/doctor.h"
#include "ups/run/pipeline.h"
#include "ups/run/train_cli.h"

int main(int argc, char** argv) {
  CLI::App app("Trains neural PDE surrogates: one YAML file, PDE data, a pipeline of stages, a verdict in physical units.", "ups-train");
  ups::config::CommonFlags flags;
  ups::run::TrainArgs args;
  ups::config::add_common(app, flags);
  ups::run::add_train_options(app, args);
  std::string command = "ups-train";
  for (int i = 1; i < argc; ++i) command += std::string(" ") + argv[i];
  return ups::config::run_main("ups-train", argc, argv, app, flags, [&]() -> int {
    ups::run::finish_train_args(app, args);
    if (const auto code = ups::run::run_light_command(args)) return *code;
    if (args.verb == ups::run::TrainArgs::Verb::doctor) return ups::run::run_doctor();
    return args.dry_run ? ups::run::dry_run(args) : ups::run::run_training(args, command);
  });
}
