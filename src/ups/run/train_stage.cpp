#include "ups/run/train_stage.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/process.h"
#include "ups/core/log.h"
#include "ups/io/torch_file.h"
#include "ups/optim/routing.h"
#include "ups/run/console.h"
#include "ups/run/debug_sync.h"
#include "ups/run/stage_factory.h"
#include "ups/train/loader_source.h"
#include "ups/train/signals.h"
#include "ups/train/trainer.h"

namespace ups::run {
namespace {

train::StageSettings settings_for(const Session& s, const std::string& key) {
  auto settings = resolve_stage(s.config(), config_key(key));
  if (key != "operator_equal_compute") return settings;
  // The control gets the CPU time of operator and corrector together: as many times its epochs as that is of the operator's time.
  const double own = s.cost("operator"), both = own + s.cost("diff_residual");
  const double factor = own > 0 ? both / own : 2.0;
  settings.epochs = std::max<int64_t>(settings.epochs + 1, std::llround(static_cast<double>(settings.epochs) * factor));
  settings.cpu_seconds *= factor;
  settings.patience.reset();
  return settings;
}

void export_weights(const Session& s, const std::string& stem, const io::NamedTensors& raw, const io::NamedTensors& average) {
  io::make_directories(s.dir.exports());
  io::save_pt(s.dir.exports() / (stem + ".pt"), raw);
  if (!average.empty()) io::save_pt(s.dir.exports() / (stem + "_ema.pt"), average);
}

// What the bytes of a continued run depend on besides configuration and data.
std::map<std::string, std::string> byte_conditions(const Session& s) {
  return {{"threads", std::to_string(at::get_num_threads())}, {"device_kind", s.device.is_cuda() ? "cuda" : "cpu"}};
}

train::CheckpointContent content_of(const Session& s, const stages::FieldSpace& space, const std::string& key,
                                    const std::vector<train::Parent>& parents, const train::Snapshot& snapshot) {
  train::CheckpointContent c;
  c.stage = key;
  c.step = snapshot.state.updates;
  c.model = snapshot.model;
  c.ema = snapshot.ema;
  c.optim = snapshot.optim;
  c.state_json = snapshot.state.json();
  c.config_hash = s.loaded.hash;
  c.split_hash = space.dataset->split_hash();
  c.normalizer_hash = space.normalizer.hash();
  c.parents = parents;
  c.exact = byte_conditions(s);
  return c;
}

void require_same_origin(const TrainArgs& args, const stages::FieldSpace& space, const train::CheckpointContent& saved) {
  const std::string place = saved.path.string();
  const bool same_data = space.dataset->split_hash() == saved.split_hash && space.normalizer.hash() == saved.normalizer_hash;
  if (args.allow_split_change && !same_data) {
    log::warn(place + " was made with another data split or normaliser (--allow-split-change)");
  } else {
    train::require_same_hash(place, "data split", space.dataset->split_hash(), saved.split_hash);
    train::require_same_hash(place, "normaliser", space.normalizer.hash(), saved.normalizer_hash);
  }
}

// --exact: a continuation that could differ in bits is refused; without it, it is said.
void check_exactness(const Session& s, const TrainArgs& args, const train::CheckpointContent& saved) {
  const std::string place = saved.path.string();
  for (const auto& [what, now] : byte_conditions(s)) {
    const auto then = saved.exact.find(what);
    if (then == saved.exact.end() || then->second == now) continue;
    const std::string text = "was made with " + what + " " + then->second + ", this process has " + now;
    if (args.exact) throw checkpoint_error(place, text, "use the same value, or leave out --exact");
    log::info(place + " " + text + ": the continuation is not byte-identical");
  }
}

// Rewrites a log without the records that `drop` names; untouched when there is none.
template <class Drop>
void drop_records(const std::filesystem::path& path, Drop drop) {
  std::ifstream in(path);
  std::string kept;
  bool any = false;
  for (std::string line; std::getline(in, line);) {
    const auto record = nlohmann::json::parse(line, nullptr, false);
    const bool out = record.is_object() && drop(record);
    any = any || out;
    if (!out) kept += line + "\n";
  }
  if (any) io::write_text_atomic(path, kept);
}

// The logs of a stage go back to what its checkpoint had seen; without a checkpoint (the process died before the first one) to nothing.
void rewind_logs(Session& s, const std::string& log_name, const std::string& key, const train::RunState* state) {
  const auto flat = s.dir.file(s.config().training.log_path);
  s.metrics.reset();
  s.flat_log.reset();
  const auto of_stage = [&](const nlohmann::json& r) { return r.value("stage", "") == log_name || r.value("stage", "") == key; };
  if (state != nullptr) io::truncate_log(s.dir.metrics(), static_cast<uint64_t>(state->metrics_bytes));
  else drop_records(s.dir.metrics(), of_stage);
  const int64_t from = state != nullptr ? state->epoch : 0;
  drop_records(flat, [&](const nlohmann::json& r) { return of_stage(r) && r.value("epoch", int64_t{0}) >= from; });
  s.metrics = std::make_unique<io::JsonlWriter>(s.dir.metrics());
  s.flat_log = std::make_unique<io::JsonlWriter>(flat);
}

}  // namespace

std::string export_stem(const std::string& key) {
  return key == "diff_residual" || key == "consistency_distill" ? "diffusion_residual" : key;
}

StageOutcome train_stage(Session& s, const TrainArgs& args, const std::string& key, int index, int count, bool resume) {
  StageOutcome out;
  auto settings = settings_for(s, key);
  if (settings.epochs == 0) {
    log::info(fmt::format("{}: nothing to do (0 epochs)", key));
    return out;
  }
  std::optional<train::CheckpointContent> saved;
  if (args.resume == TrainArgs::Resume::path && args.resume_path.find("/" + key + "/") != std::string::npos) {
    saved = train::CheckpointStore::load(args.resume_path);
  } else if (resume) {
    saved = s.store.load_newest(key);
  }
  auto& space = s.space(key);
  if (saved) {
    require_same_origin(args, space, *saved);
    s.store.verify_parents(*saved);
    const auto state = train::RunState::from_json(saved->state_json, saved->path.string() + "/state.json");
    if (state.finished) {
      log::info(fmt::format("{}: already done ({} updates, verified {})", key, state.updates, saved->path.string()));
      out.trained = false;
      return out;
    }
    check_exactness(s, args, *saved);
  }
  BuiltStage built = build_stage(s.config(), key, space, s.store);
  data::LoaderSpec spec;
  spec.batch_size = settings.batch_size;
  spec.window = built.window;
  spec.stride = space.stride;
  spec.seed = settings.seed;
  spec.stage = key;
  spec.workers = settings.workers;
  std::unique_ptr<train::BatchSource> source = std::make_unique<train::LoaderSource>(*space.dataset, space.normalizer, spec, s.device);
  if (built.wrap) source = built.wrap(std::move(source));
  train::BatchSource& batches = *source;
  if (built.reference && !settings.reference_semantics) {
    log::notice_once("objective reference follows UPS's loop rules (training.semantics: reference): best by train loss, no validation");
    settings.reference_semantics = true;
  }

  const double cpu_start = cpu_seconds(), wall_start = wall_seconds();
  bool stop_reached = false;
  Console console(args.progress, std::max(1.0, parse_seconds(s.config().logging.every)), index, count);
  train::Hooks hooks;
  hooks.metrics = [&](const io::JsonLine& line) { s.metrics->append(line); };
  hooks.flat_log = [&](const io::JsonLine& line) { s.flat_log->append(line); };
  hooks.metrics_bytes = [&] {
    s.metrics->sync();
    return static_cast<int64_t>(s.metrics->bytes());
  };
  hooks.wants_progress = [&] { return console.wants(); };
  hooks.progress = [&](const train::Progress& p) { console.show(p); };
  hooks.checkpoint = [&](const train::Snapshot& snapshot) {
    s.store.commit(content_of(s, space, key, built.parents, snapshot), snapshot.is_best || snapshot.is_last);
  };
  hooks.export_epoch = [&](int64_t epoch) {
    io::make_directories(s.dir.exports());
    io::save_pt(s.dir.exports() / fmt::format("{}_epoch_{}.pt", export_stem(key), epoch), built.stage->module().state());
  };
  hooks.save_signal = [] { return train::take_checkpoint_request(); };
  hooks.stop_signal = [&]() -> int {
    if (const auto signal = train::stop_requested()) return *signal;
    return 0;
  };
  hooks.stop_here = [&](const train::RunState& state) {
    const auto& a = args.stop_after;
    stop_reached = (a.updates && state.updates >= *a.updates) || (a.epochs && state.epoch >= *a.epochs) ||
                   (a.seconds && wall_seconds() - wall_start >= *a.seconds);
    return stop_reached;
  };
  if (args.debug_sync && s.device.is_cuda()) hooks.forbid_sync = forbid_host_sync;
  if (settings.compile) {
    hooks.graph_recorder = train::make_graph_recorder(s.device);
    if (!hooks.graph_recorder) log::notice_once("ignored: training.compile (no effect on device " + s.device.str() + ")");
  }
  train::Trainer trainer(*built.stage, batches, settings, s.device, std::move(hooks));
  if (saved) {
    const auto state = train::RunState::from_json(saved->state_json, saved->path.string() + "/state.json");
    trainer.resume(saved->model, saved->ema, saved->optim, state, saved->path.string());
    rewind_logs(s, built.stage->log_name(), key, &state);
    log::info(fmt::format("resuming step {} of stage {} from {} (verified)", state.updates, key, saved->path.string()));
  } else {
    rewind_logs(s, built.stage->log_name(), key, nullptr);
    const std::string length = settings.cpu_seconds > 0 ? fmt::format("{} CPU-s, at most {} epochs", settings.cpu_seconds, settings.epochs)
                                                        : fmt::format("{} epochs = {} updates", settings.epochs, trainer.planned_updates());
    log::info(fmt::format("stage {}/{} {}: {} parameters, {} batches of {}, {}", index, count, key, built.stage->module().parameter_count(),
                          batches.batches(), settings.batch_size, length));
    log::info("  " + trainer.optimizer_summary());
    log::debug("  which parameter goes where:\n" + optim::routing_table(settings.optimizer, built.stage->module().parameters()));
  }
  s.metrics->append(io::JsonLine().add("kind", saved ? "resume" : "start").add("stage", key).add("split_hash", space.dataset->split_hash())
                        .add("parameters", built.stage->module().parameter_count()).add("threads", at::get_num_threads()));
  const train::Outcome outcome = trainer.run();
  console.clear();
  s.add_cost(key, cpu_seconds() - cpu_start);
  if (outcome.ending == train::Ending::signalled) {
    out.signal = outcome.signal;
    return out;
  }
  if (outcome.ending == train::Ending::stopped) {
    out.stopped = true;
    return out;
  }
  if (key == "consistency_distill") {
    // The contract overwrites diffusion_residual.pt; the teacher stays beside it.
    const auto teacher = require_trained(s.store, "diff_residual", key);
    io::save_pt(s.dir.exports() / "diffusion_residual_teacher.pt", teacher.weights());
  }
  export_weights(s, export_stem(key), trainer.best_raw(), trainer.best_average());
  log::info(fmt::format("{}: {} after {} updates in {:.1f} s ({:.1f} CPU-s), best score {:.4g} at update {}{}", key,
                        outcome.ending == train::Ending::early_stop ? "stopped early" : "done", outcome.state.updates,
                        wall_seconds() - wall_start, cpu_seconds() - cpu_start, outcome.state.best, outcome.state.best_update,
                        (outcome.state.skipped > 0 ? fmt::format(", {} skipped", outcome.state.skipped) : "") +
                            (outcome.state.rollbacks > 0 ? fmt::format(", {} rolled back", outcome.state.rollbacks) : "")));
  return out;
}

}  // namespace ups::run
