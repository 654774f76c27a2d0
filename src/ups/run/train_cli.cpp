#include "ups/run/train_cli.h"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <filesystem>

#include "ups/config/number.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/run/docs.h"
#include "ups/run/init_recipes.h"

namespace ups::run {
namespace {

std::optional<int64_t> integer(const std::string& option, const std::string& text, int64_t min) {
  if (text.empty()) return std::nullopt;
  const auto r = config::parse_integer(text);
  if (!r.ok || r.value < min)
    throw usage_error(option, "must be an integer >= " + std::to_string(min) + ", found '" + text + "'", r.hint);
  return r.value;
}

void check_stage(const std::string& stage) {
  auto known = kStageNames;
  known.emplace_back("all");
  if (stage.empty() || std::find(known.begin(), known.end(), stage) != known.end()) return;
  const std::string near = nearest(stage, known);
  throw usage_error("--stage", "unknown stage '" + stage + "'",
                    (near.empty() ? "" : "did you mean '" + near + "'? ") + ("one of: " + join(known, ", ")));
}

void add_verbs(CLI::App& app, TrainArgs& a) {
  auto* init = app.add_subcommand("init", "Print a complete, commented configuration: ups-train init > config.yaml");
  init->add_option("--recipe", a.recipe, "One of: " + join(recipe_names(), ", "))->type_name("NAME")->capture_default_str();
  init->add_option("--output,-o", a.output, "Write to this new file instead of stdout")->type_name("FILE");
  auto* schema = app.add_subcommand("schema", "List every configuration key: type, default, range, status, meaning");
  schema->add_flag("--json", a.schema_json, "As JSON");
  schema->add_flag("--markdown", a.schema_markdown, "As docs/reference/config.md");
  app.add_subcommand("doctor", "Check this machine: threads, BLAS speed, GPU, disk");
  app.require_subcommand(0, 1);
}

}  // namespace

void add_train_options(CLI::App& app, TrainArgs& a) {
  std::vector<std::string> stages = kStageNames;
  stages.emplace_back("all");
  app.add_option("--config,-c", a.configs, "Configuration file; repeatable, later files win")
      ->type_name("FILE")
      ->allow_extra_args(false);
  app.add_option("--stage,-s", a.stage, "One of: " + join(stages, ", "))->type_name("STAGE");
  app.add_option("--epochs", a.raw.epochs, "Epochs of the stage (with all: of every stage that is on)")->type_name("N");
  app.add_option("--set", a.sets, "Override one key: training.batch_size=8; repeatable, applied in order")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--unset", a.unsets, "Restore the default of one key; repeatable")->type_name("KEY")->allow_extra_args(false);
  app.add_option("--run-dir", a.run_dir, "Where everything is written (default runs/<name>-<UTC time>)")->type_name("DIR");
  app.add_option("--name", a.name, "Stem of the run directory's name (default the config's)")->type_name("NAME");
  app.add_flag("--resume", a.raw.resume,
               "Continue the run in --run-dir; --resume=auto: if there is one; --resume=PATH: from one step directory");
  app.add_flag("--auto-resume", a.raw.auto_resume, "The same as --resume=auto");
  app.add_flag("--exact", a.exact, "Refuse a resume that cannot be byte-identical");
  app.add_option("--stop-after", a.raw.stop_after, "Save and exit after 500u updates, 3e epochs or 30m of wall time")
      ->type_name("LENGTH");
  app.add_option("--device", a.device, "auto, cpu, cuda or cuda:N")->type_name("DEVICE");
  app.add_option("--threads", a.raw.threads, "CPU threads (default physical cores)")->type_name("N");
  app.add_option("--seed", a.raw.seed, "Seed of weights, data order and sampling")->type_name("N");
  app.add_option("--progress", a.progress, "auto, bar, plain or none")->type_name("STYLE")->capture_default_str();

  auto* look = app.add_option_group("Look without training");
  look->add_flag("--validate", a.validate, "Check the configuration and its paths, then exit");
  look->add_flag("--print-config", a.raw.print_config,
                 "Print the resolved configuration; =json, =origins (where each value is from), =minimal");
  look->add_flag("--dry-run", a.dry_run, "Open data, build models, run one micro-batch per stage, print sizes and times");

  auto* guards = app.add_option_group("Guards");
  guards->add_flag("--strict", a.strict, "Treat notices (keys without effect) as errors");
  guards->add_option("--allow-include", a.allow_include, "Folder that include: may read besides the config's own; repeatable")
      ->type_name("DIR")
      ->allow_extra_args(false);
  guards->add_flag("--allow-env", a.allow_env, "Replace ${env:NAME} in the configuration");
  guards->add_flag("--allow-config-change", a.allow_config_change, "Resume although the configuration changed");
  guards->add_flag("--allow-split-change", a.allow_split_change, "Use artefacts of another data split");
  guards->add_flag("--allow-overlap", a.allow_overlap, "Accept equal first frames in different splits");
  guards->add_flag("--debug-sync", a.debug_sync, "CUDA: fail on any host synchronisation inside a step");
  // UPS options that cannot be honoured: named in an error instead of "unknown option".
  app.add_flag("--resume-from-wandb", a.raw.resume_from_wandb)->group("");
  app.add_option("--resume-mode", a.raw.resume_mode)->group("");
  add_verbs(app, a);
}

StopAfter parse_stop_after(const std::string& text) {
  StopAfter out;
  if (text.size() >= 2) {
    const auto number = config::parse_integer(text.substr(0, text.size() - 1));
    if (number.ok && number.value > 0) {
      switch (text.back()) {
        case 'u': out.updates = number.value; return out;
        case 'e': out.epochs = number.value; return out;
        case 's': out.seconds = static_cast<double>(number.value); return out;
        case 'm': out.seconds = 60.0 * static_cast<double>(number.value); return out;
        case 'h': out.seconds = 3600.0 * static_cast<double>(number.value); return out;
        default: break;
      }
    }
  }
  throw usage_error("--stop-after", "cannot read '" + text + "'", "write 500u (updates), 3e (epochs), 90s, 30m or 2h");
}

void finish_train_args(const CLI::App& app, TrainArgs& a) {
  if (a.raw.resume_from_wandb || !a.raw.resume_mode.empty())
    throw usage_error("", "the trainer opens no network", "download the files, then --resume=PATH");
  for (const auto& [name, verb] : {std::pair{"init", TrainArgs::Verb::init}, std::pair{"schema", TrainArgs::Verb::schema},
                                   std::pair{"doctor", TrainArgs::Verb::doctor}}) {
    if (app.got_subcommand(name)) a.verb = verb;
  }
  if (a.verb != TrainArgs::Verb::train) {
    if (!a.configs.empty() || !a.stage.empty())
      throw usage_error("", "init, schema and doctor take no --config and no --stage", "see ups-train --help");
    return;
  }
  a.console_level = app.count("--log-level") + app.count("--quiet") > 0;
  check_stage(a.stage);
  a.epochs = integer("--epochs", a.raw.epochs, 0);
  a.threads = integer("--threads", a.raw.threads, 1);
  a.seed = integer("--seed", a.raw.seed, 0);
  if (!a.raw.stop_after.empty()) a.stop_after = parse_stop_after(a.raw.stop_after);
  if (!a.raw.resume.empty() || a.raw.auto_resume) {
    a.resume = TrainArgs::Resume::path;
    if (a.raw.resume == "true") a.resume = TrainArgs::Resume::required;
    if (a.raw.resume == "auto" || a.raw.auto_resume) a.resume = TrainArgs::Resume::automatic;
    if (a.resume == TrainArgs::Resume::path) a.resume_path = a.raw.resume;
  }
  if (!a.raw.print_config.empty()) {
    a.print_config = a.raw.print_config == "true" ? "yaml" : a.raw.print_config;
    const std::vector<std::string> modes = {"yaml", "json", "origins", "minimal"};
    if (std::find(modes.begin(), modes.end(), a.print_config) == modes.end())
      throw usage_error("--print-config", "unknown form '" + a.print_config + "'", "one of: " + join(modes, ", "));
  }
  const std::vector<std::string> styles = {"auto", "bar", "plain", "none"};
  if (std::find(styles.begin(), styles.end(), a.progress) == styles.end())
    throw usage_error("--progress", "unknown style '" + a.progress + "'", "one of: " + join(styles, ", "));
  if (!a.name.empty() && !is_safe_name(a.name))
    throw usage_error("--name", "cannot be '" + a.name + "'",
                      "letters, digits, '.', '_' and '-' only, at most 64, not starting with '.' or '-'");
  if (a.configs.empty())
    throw usage_error("", "--config is required", "ups-train init > config.yaml writes one; see ups-train --help");
  if (a.stage.empty()) {
    if (!a.validate && a.print_config.empty() && !a.dry_run)
      throw usage_error("", "--stage is required", "one of: " + join(kStageNames, ", ") + ", all");
    a.stage = "all";
  }
  if (a.resume != TrainArgs::Resume::no && a.resume != TrainArgs::Resume::path && a.run_dir.empty())
    throw usage_error("--resume", "needs --run-dir", "name the run directory that should continue");
}

Overrides overrides_of(const TrainArgs& a) {
  Overrides o;
  o.epochs = a.epochs;
  o.threads = a.threads;
  o.seed = a.seed;
  o.stage = a.stage.empty() ? "all" : a.stage;
  if (!a.device.empty()) o.device = a.device;
  if (!a.name.empty()) o.name = a.name;
  o.sets = a.sets;
  o.allow_overlap = a.allow_overlap;
  o.unsets = a.unsets;
  o.allow_include = a.allow_include;
  o.allow_env = a.allow_env;
  o.strict = a.strict;
  return o;
}

LoadedConfig load_config(const TrainArgs& a) {
  LoadedConfig loaded = load_run_config(a.configs, overrides_of(a));
  log::Level level{};
  if (!a.console_level && log::parse_level(loaded.config.logging.level, level)) log::set_level(level);
  for (const auto& notice : loaded.notices) log::notice_once(notice);
  return loaded;
}

std::string default_run_dir(const TrainArgs& a, const RunConfig& c, int64_t unix_time) {
  if (!a.run_dir.empty()) return a.run_dir;
  std::string stem = c.run.name.value_or(a.configs.empty() ? "run" : std::filesystem::path(a.configs.back()).stem().string());
  if (!is_safe_name(stem)) stem = "run";
  const std::time_t t = unix_time;
  std::tm utc{};
  gmtime_r(&t, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &utc);
  return "runs/" + stem + "-" + stamp;
}

std::string config_text(const LoadedConfig& loaded, const std::string& mode) {
  if (mode == "json") return loaded.json() + "\n";
  if (mode == "origins") return loaded.origins_json();
  return mode == "minimal" ? loaded.minimal_yaml() : loaded.yaml();
}

namespace {

void put(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

int init(const TrainArgs& a) {
  const std::string text = recipe_text(a.recipe);
  if (a.output.empty()) {
    put(text);
    return 0;
  }
  std::FILE* f = std::fopen(a.output.c_str(), "wxe");
  if (f == nullptr) throw io_error(a.output, "cannot create the file", "it must not exist yet");
  const bool ok = std::fwrite(text.data(), 1, text.size(), f) == text.size();
  if (std::fclose(f) != 0 || !ok) throw io_error(a.output, "cannot write the file", "");
  return 0;
}

}  // namespace

std::optional<int> run_light_command(const TrainArgs& a) {
  if (a.verb == TrainArgs::Verb::init) return init(a);
  if (a.verb == TrainArgs::Verb::schema) {
    put(a.schema_json ? schema_json() : a.schema_markdown ? config_reference() : schema_text());
    return 0;
  }
  if (a.verb == TrainArgs::Verb::doctor || (!a.validate && a.print_config.empty())) return std::nullopt;
  const LoadedConfig loaded = load_config(a);
  if (!a.print_config.empty()) put(config_text(loaded, a.print_config));
  if (a.validate) {
    check_paths(loaded);
    if (a.print_config.empty()) put("valid: " + join(a.configs, ", ") + " (config hash " + loaded.hash + ")\n");
  }
  return 0;
}

}  // namespace ups::run
