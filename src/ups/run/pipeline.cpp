#include "ups/run/pipeline.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <ctime>
#include <filesystem>

#include "ups/core/torch_compat.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/io/files.h"
#include "ups/run/evaluate_run.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"
#include "ups/run/train_stage.h"
#include "ups/train/signals.h"

namespace ups::run {
namespace {

std::vector<std::string> stages_of(const RunConfig& config, const std::string& stage) {
  std::vector<std::string> keys;
  for (const auto& name : kStageNames)
    if (stage == "all" || stage == name)
      if (stage != "all" || resolve_stage(config, name).epochs > 0) keys.push_back(name);
  if (stage == "all" && config.evaluation.equal_compute) {
    const auto after = std::find(keys.begin(), keys.end(), "diff_residual");
    if (after != keys.end()) keys.insert(after + 1, "operator_equal_compute");
  }
  const std::string objective = stage_objective(config, "diff_residual");
  if (std::find(keys.begin(), keys.end(), "consistency_distill") != keys.end() && objective != "reference" && !stages::has_flow(objective))
    throw usage_error("stages.consistency_distill",
                      fmt::format("a corrector with objective {} cannot be distilled: its samples are not the ends of an ODE", objective),
                      objective == "crps" ? "it needs one evaluation already: set stages.consistency_distill.epochs: 0" : "use objective flow or edm, or set stages.consistency_distill.epochs: 0");
  for (const auto& key : keys)
    if ((key == "diff_residual" || key == "consistency_distill") && config.op.context > 1)
      throw usage_error("operator.context", fmt::format("is {}, but stage {} corrects an operator that sees one frame", config.op.context, key),
                        "use --stage operator, or set operator.context: 1");
  return keys;
}

// A resumed run must have the configuration it was started with, up to keys that may change.
void require_same_config(const train::RunDir& dir, const LoadedConfig& loaded, bool allow_change) {
  const auto file = dir.file("config.yaml");
  if (!std::filesystem::exists(file)) return;
  const LoadedConfig old = stored_config(file);
  const ConfigChanges changes = compare_configs(old.json(), loaded.json());
  for (const auto& c : changes.resumable) log::info("changed since the run started: " + c);
  if (changes.other.empty()) return;
  std::string text;
  for (size_t i = 0; i < changes.other.size() && i < 5; ++i) text += (i ? ", " : "") + changes.other[i];
  if (!allow_change)
    throw checkpoint_error(dir.path().string(), "the run was started with another configuration: " + text,
                           "use the old values, another --run-dir, or --allow-config-change");
  log::warn("configuration changed since the run started: " + text);
}

// UPS's two files beside the exported weights; ours never reads them back.
void write_export_status(const Session& session, const std::vector<train::StageStatus>& stages) {
  const RunConfig& c = session.config();
  const auto pdet = operator_pdet(c);
  train::ExportMetadata m;
  m.arch = {{"latent_dim", c.latent.dim}, {"latent_tokens", c.latent.tokens}, {"operator_hidden_dim", pdet.hidden_dim.value_or(0)},
            {"operator_num_heads", pdet.num_heads}, {"diffusion_hidden_dim", c.diffusion.hidden_dim.value_or(2 * c.latent.dim)}};
  m.operator_depths = pdet.depths.value_or(std::vector<int64_t>{});
  m.ups_loadable = stage_objective(c, "operator") == "reference";
  m.config_hash = session.loaded.hash;
  m.config_path = "config.yaml";
  session.dir.write_text("checkpoints/metadata.json", train::metadata_json(m));
  session.dir.write_text("checkpoints/stage_status.json", train::stage_status_json(stages));
}

// The same configuration was evaluated; the caller knows that no weights changed since.
bool evaluation_is_current(const Session& session) {
  const auto report = session.dir.file("eval/evaluation.txt"), config = session.dir.file("eval/evaluation.config.yaml");
  if (!std::filesystem::exists(report) || !std::filesystem::exists(config)) return false;
  io::ReadOptions options;
  options.max_bytes = 1 << 20;
  return io::read_text(config, options) == session.loaded.yaml();
}

void write_config(const train::RunDir& dir, const LoadedConfig& loaded) {
  dir.write_text("config.yaml", loaded.yaml());
  dir.write_text("config.origins.json", loaded.origins_json());
  dir.write_text("env.json", train::env_json({{"threads", std::to_string(at::get_num_threads())}, {"torch", TORCH_VERSION}}));
}

}  // namespace

int run_training(const TrainArgs& args, const std::string& command_line) {
  using Resume = TrainArgs::Resume;
  LoadedConfig loaded = load_config(args);
  const RunConfig& config = loaded.config;
  train::install_signal_handlers();
  const at::Device device = choose_device(config.training.device);
  if (args.debug_sync && !device.is_cuda()) log::notice_once("ignored: --debug-sync (no effect on device " + device.str() + ")");
  prepare_process(config);
  const auto keys = stages_of(config, args.stage);  // may refuse: before anything is written
  const std::filesystem::path path = default_run_dir(args, config, std::time(nullptr));
  const bool exists = std::filesystem::exists(path / "config.yaml");
  const bool has_checkpoint = std::filesystem::exists(path / "ckpt");
  if (args.resume == Resume::required && !has_checkpoint)
    throw checkpoint_error(path.string(), "nothing to resume: the run directory has no checkpoint", "start it without --resume");
  const bool resume = args.resume != Resume::no && exists;
  if (args.resume == Resume::automatic) log::info(resume ? "resuming " + path.string() : "starting " + path.string() + " (nothing to resume)");
  // A further stage of an existing run is no resume, but continues its directory.
  const bool continues = exists && args.stage != "all";
  Session session(std::move(loaded), exists && (resume || continues) ? train::RunDir::open(path, command_line, train::RunLock::Mode::exclusive, std::chrono::seconds(2))
                                                                     : train::RunDir::create(path, command_line),
                  device);
  const RunConfig& c = session.config();
  if (has_checkpoint) require_same_config(session.dir, session.loaded, args.allow_config_change);
  write_config(session.dir, session.loaded);
  log::add_file(session.dir.file("run.log").string());
  session.store.clean();
  io::make_directories(session.dir.file(c.training.log_path).parent_path());
  session.metrics = std::make_unique<io::JsonlWriter>(session.dir.metrics());
  session.flat_log = std::make_unique<io::JsonlWriter>(session.dir.file(c.training.log_path));
  log::info(fmt::format("run {}  config {}  device {}  threads {}", path.string(), session.loaded.hash.substr(0, 12), device.str(), at::get_num_threads()));

  int index = 0;
  std::vector<train::StageStatus> status;
  bool trained = false;
  for (const auto& key : keys) {
    const std::string started = train::utc_now();
    const StageOutcome outcome = train_stage(session, args, key, ++index, static_cast<int>(keys.size()), resume || continues);
    session.metrics->sync();
    trained = trained || outcome.trained;
    const bool complete = outcome.signal == 0 && !outcome.stopped;
    const int64_t epochs = resolve_stage(c, config_key(key)).epochs;
    train::StageStatus record;
    record.stage = key;
    record.status = complete ? "completed" : "in_progress";
    record.checkpoint = complete ? "checkpoints/" + export_stem(key) + ".pt" : "";
    record.started_at = started;
    record.completed_at = complete ? train::utc_now() : "";
    record.epoch = complete ? epochs : 0;
    record.total_epochs = epochs;
    status.push_back(record);
    write_export_status(session, status);
    const std::string again = fmt::format("{} --resume", command_line);
    if (outcome.signal != 0) {
      log::info(fmt::format("stopped by {}; continue with: {}", train::signal_name(outcome.signal), again));
      return train::exit_code_for(outcome.signal);
    }
    if (outcome.stopped) {
      log::info("stopped by --stop-after; continue with: " + again);
      return 0;
    }
  }
  if (args.stage == "all" && c.evaluation.enabled) {
    EvalArgs eval;
    eval.run = path.string();
    eval.split = c.evaluation.split;
    if (!trained && evaluation_is_current(session))
      log::info("evaluation: already done (" + session.dir.file("eval/evaluation.txt").string() + "); again with ups-eval --run " + eval.run);
    else
      evaluate_session(session, eval);
  }
  session.metrics->append(io::JsonLine().add("kind", "end"));
  session.metrics->sync();
  return 0;
}

}  // namespace ups::run
