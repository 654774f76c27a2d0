// The command line of ups-train (docs: ups-train --help). The set of flags is frozen by tests/unit/config/test_train_cli.cpp.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "ups/run/run_config.h"

namespace ups::run {

// --stop-after 500u | 3e | 30m: save and exit 0 there.
struct StopAfter {
  std::optional<int64_t> updates, epochs;
  std::optional<double> seconds;
  bool any() const { return updates || epochs || seconds; }
};
StopAfter parse_stop_after(const std::string& text);  // throws exit 2

struct TrainArgs {
  enum class Verb { train, init, schema, doctor };
  enum class Resume { no, required, automatic, path };

  Verb verb = Verb::train;
  std::vector<std::string> configs;
  std::string stage;  // empty only with validate, print_config or dry_run: then "all"
  std::string run_dir, name;
  Resume resume = Resume::no;
  std::string resume_path;  // one step directory
  bool console_level = false;  // --log-level or --quiet was given: logging.level does not act
  bool exact = false, dry_run = false, validate = false, strict = false, debug_sync = false;
  std::string print_config;  // "", yaml, json, origins, minimal
  std::string device;        // empty = from the configuration
  std::optional<int64_t> epochs, threads, seed;
  StopAfter stop_after;
  std::string progress = "auto";  // auto | bar | plain | none
  std::vector<std::string> sets, unsets, allow_include;
  bool allow_env = false, allow_config_change = false, allow_split_change = false, allow_overlap = false;
  // init, schema
  std::string recipe = "burgers", output;
  bool schema_json = false, schema_markdown = false;

  // As typed; finish_train_args() reads them with our own number grammar.
  struct Raw {
    std::string epochs, threads, seed, resume, stop_after, print_config, resume_mode;
    bool auto_resume = false, resume_from_wandb = false;
  } raw;
};

// Declares every option and verb.
void add_train_options(CLI::App& app, TrainArgs& args);
// Call first in the body: numbers, --resume, verbs, required options. Throws exit 2.
void finish_train_args(const CLI::App& app, TrainArgs& args);

Overrides overrides_of(const TrainArgs& args);
// The configuration of these arguments; notices are logged once each, logging.level is applied unless the console level was given.
LoadedConfig load_config(const TrainArgs& args);
// "<name or config stem>-<UTC yyyymmdd-hhmmss>" below runs/, or --run-dir.
std::string default_run_dir(const TrainArgs& args, const RunConfig& config, int64_t unix_time);

// init, schema, --validate and --print-config: prints to stdout and returns the exit code. Empty: there is training to do
// (or `doctor`, which needs LibTorch). Calls no LibTorch.
std::optional<int> run_light_command(const TrainArgs& args);

std::string config_text(const LoadedConfig& loaded, const std::string& mode);  // yaml | json | origins | minimal

}  // namespace ups::run
