// Cross-field rules of optimizers, schedules and stage blocks.
#include <cmath>

#include "ups/config/number.h"
#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {

void Checker::optimizer(const optim::OptimizerOptions& o, const std::string& path) {
  try {
    optim::validate(o, path);
  } catch (const Error& e) {
    error(e.place(), e.place() + " " + e.message(), e.hint());
  }
  for (const config::KeyInfo& key : run_schema().keys()) {
    if (!starts_with(key.path, path + ".") || !changed(key.path)) continue;
    const std::string name = key.path.substr(path.size() + 1);
    if (name.find('.') != std::string::npos || optim::uses_key(o, name)) continue;
    notice(key.path, "ignored: " + key.path + " (not used by optimizer " + o.name + ")");
  }
  if (o.muon_backend == "flash" || o.muon_backend == "torch")
    notice(path + ".muon_backend", path + ".muon_backend " + o.muon_backend + " is read as auto");
}

void Checker::scheduler(const optim::SchedulerOptions& s, const std::string& path, double lr, std::optional<int64_t> epochs) {
  try {
    optim::validate(s, path);
  } catch (const Error& e) {
    error(e.place(), e.place() + " " + e.message(), e.hint());
  }
  const auto at_most_lr = [&](double v, const char* key) {
    const std::string full = path + "." + key;
    if (v > lr)
      error(full, full + " " + config::format_real(v) + " is above the learning rate " + config::format_real(lr), "lower it");
  };
  if (s.name == "cosineannealinglr" || s.name == "warmup_cosine") at_most_lr(s.eta_min, "eta_min");
  if (s.is_plateau()) at_most_lr(s.min_lr, "min_lr");
  if (s.name == "cosineannealinglr" && !s.counts_steps() && epochs && s.t_max < *epochs)
    notice(path + ".t_max", path + ".t_max " + std::to_string(s.t_max) + " is below the " + std::to_string(*epochs) +
                                " epochs: the learning rate rises again");
}

void Checker::stage_blocks() {
  const optim::OptimizerOptions& global = c_.optimizer;
  optimizer(global, "optimizer");
  if (global.scheduler)
    scheduler(*global.scheduler, "optimizer.scheduler", std::max(global.lr, global.muon_lr.value_or(0)), std::nullopt);
  for (const auto& stage : kStageNames) {
    const stages::StageCommon& b = *stage_block(c_, stage);
    const std::string path = "stages." + stage;
    const optim::OptimizerOptions& o = b.optimizer ? *b.optimizer : global;
    if (b.optimizer) {
      optimizer(o, path + ".optimizer");
      const bool has_lr =
          given(path + ".optimizer.lr") || given(path + ".optimizer.muon_lr") || given(path + ".optimizer.adamw_lr");
      if (!has_lr && global.lr != o.lr)
        notice(path + ".optimizer", path + ".optimizer has no lr: the default " + config::format_real(o.lr) +
                                        " is used, not the global " + config::format_real(global.lr));
    }
    const double lr = std::max({o.lr, o.muon_lr.value_or(0), o.adamw_lr.value_or(0)});
    if (b.scheduler) scheduler(*b.scheduler, path + ".scheduler", lr, b.epochs);
    if (b.optimizer && b.optimizer->scheduler) scheduler(*b.optimizer->scheduler, path + ".optimizer.scheduler", lr, b.epochs);
    if (!b.scheduler && !b.optimizer && global.scheduler && b.epochs.value_or(0) > global.scheduler->t_max &&
        global.scheduler->name == "cosineannealinglr" && !global.scheduler->counts_steps()) {
      notice("optimizer.scheduler.t_max", "optimizer.scheduler.t_max " + std::to_string(global.scheduler->t_max) +
                                              " is below the epochs of " + stage + ": the learning rate rises again");
    }
  }
}

// A global value from the command line that a stage block replaces would silently do nothing.
void Checker::hidden_overrides() {
  for (const auto& [path, place] : places_) {
    if (!place.source || !starts_with(place.source->name, "--set")) continue;
    for (const auto& stage : kStageNames) {
      if (!selected(stage)) continue;
      const stages::StageCommon& b = *stage_block(c_, stage);
      const bool hidden =
          (starts_with(path, "optimizer.scheduler.") && (b.scheduler || (b.optimizer && b.optimizer->scheduler))) ||
          (starts_with(path, "optimizer.") && !starts_with(path, "optimizer.scheduler") && b.optimizer) ||
          (path == "training.grad_clip" && b.grad_clip) || (path == "training.ema_decay" && b.ema_decay) ||
          (path == "training.patience" && b.patience) || (path == "training.batch_size" && b.batch_size) ||
          (path == "training.accum_steps" && b.accum_steps) || (path == "training.amp" && b.amp) ||
          (path == "training.compile" && b.compile) || (path == "training.nan_policy" && b.nan_policy);
      if (hidden)
        findings_.notice(place,
                         place.text() + ": " + path + " has no effect on stage " + stage + ", whose own block replaces it");
    }
  }
}

}  // namespace ups::run
