#include "ups/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/process.h"

namespace ups::train {
namespace {

constexpr double kMinImprovement = 1e-6;  // of the reference's comparison: score + 1e-6 < best

std::unique_ptr<optim::Ema> make_ema(const StageSettings& s, models::Module& module) {
  if (!s.ema_decay) return nullptr;
  optim::EmaOptions options{*s.ema_decay, !s.reference_semantics};
  NamedTensors values;
  for (const auto& p : module.parameters()) values.emplace_back(p.name, p.tensor);
  return std::make_unique<optim::Ema>(options, values, module.buffers());
}

NamedTensors copies(const NamedTensors& values) {
  NamedTensors out;
  for (const auto& [name, t] : values) out.emplace_back(name, t.detach().clone());
  return out;
}

}  // namespace

Trainer::Trainer(Stage& stage, BatchSource& batches, StageSettings settings, at::Device device, Hooks hooks)
    : stage_(stage), batches_(batches), settings_(std::move(settings)), device_(device), hooks_(std::move(hooks)) {
  if (!stage_.accumulates()) settings_.accum_steps = 1;
  for (auto& p : stage_.module().parameters())
    if (p.tensor.requires_grad()) params_.push_back(p);
  optimizer_ = optim::make_optimizer(settings_.optimizer, params_);
  for (const auto& a : stage_.adversaries()) {
    Player player{a.name, a.module->parameters(), nullptr};
    player.optimizer = optim::make_optimizer(a.optimizer, player.params);
    adversaries_.push_back(std::move(player));
  }
  ema_ = make_ema(settings_, stage_.module());
  if (hooks_.metrics && !settings_.reference_semantics) stats_ = std::make_unique<optim::UpdateStats>(*optimizer_);
  optim::GradScalerOptions scaler;
  scaler.enabled = settings_.amp && amp_type() == at::kHalf;
  scaler_ = optim::GradScaler(scaler);
  // A graph would leave an adversary the gradients of its last replay.
  if (hooks_.graph_recorder && adversaries_.empty())
    graphs_ = std::make_unique<StepGraphs>(hooks_.graph_recorder, params_, settings_.compile_warmup, [this](const MicroBatch& m) { return forward(m); });
  std::vector<double> base;
  for (const auto& g : optimizer_->groups()) base.push_back(g.base_lr);
  if (settings_.scheduler.is_plateau()) {
    plateau_ = std::make_unique<optim::Plateau>(settings_.scheduler, base);
  } else {
    const int64_t updates = settings_.cpu_seconds > 0 ? kBudgetSteps : planned_updates();
    const int64_t total = settings_.scheduler.counts_steps() ? updates : settings_.epochs;
    for (double lr : base) sequences_.emplace_back(settings_.scheduler, lr, total);
  }
}

Trainer::~Trainer() = default;

int64_t Trainer::planned_updates() const {
  const int64_t per_epoch = (batches_.batches() + settings_.accum_steps - 1) / settings_.accum_steps;
  return per_epoch * settings_.epochs;
}

bool Trainer::validation_due() const {
  return (state_.epoch + 1) % settings_.validate_every == 0 || state_.epoch + 1 == settings_.epochs || budget_spent();
}

void Trainer::take_best(double score) {
  state_.best = score;
  state_.best_update = state_.updates;
  state_.epochs_since_improve = 0;
  best_raw_ = copies(stage_.module().state());
  if (ema_) best_average_ = copies(ema_->state());
  improved_ = true;
}

void Trainer::close_epoch() {
  const double loss = state_.loss_count > 0 ? state_.loss_sum / static_cast<double>(state_.loss_count) : NAN;
  const double norm = state_.norm_count > 0 ? state_.norm_sum / static_cast<double>(state_.norm_count) : NAN;
  std::optional<Validation> validation;
  if (!settings_.reference_semantics && validation_due()) {
    const at::NoGradGuard no_grad;
    const optim::EmaScope averaged(ema_.get());
    const double begin = cpu_seconds();
    validation = stage_.validate();
    validation_cpu_ = cpu_seconds() - begin;
  }
  const bool judged = settings_.reference_semantics || validation;
  const double score = settings_.reference_semantics ? loss : validation ? validation->score : NAN;
  const double best_before = state_.best;
  const int64_t waited_before = state_.epochs_since_improve;
  if (judged) {
    state_.last_score = std::isfinite(score) ? score : 1e300;
    // The margin of the reference is absolute; scores of other stages can be small, so there it is relative.
    const double margin = settings_.reference_semantics ? kMinImprovement : kMinImprovement * std::abs(score);
    if (score + margin < state_.best) take_best(score);
    else state_.epochs_since_improve += 1;
  }
  const double seconds = wall_seconds() - epoch_started_;
  state_.global_step += 1;
  log_epoch(loss, norm, validation, seconds);
  if (hooks_.flat_log)  // UPS's record holds the values before this epoch was judged
    hooks_.flat_log(io::JsonLine().add("stage", stage_.log_name()).add("loss", loss).add("epoch", state_.epoch)
                        .add("lr", optimizer_->lrs().empty() ? 0.0 : optimizer_->lrs()[0]).add("global_step", state_.global_step)
                        .add("epochs_since_improve", waited_before).add("grad_norm", norm).add("epoch_time_sec", seconds)
                        .add("best_loss", best_before < 1e299 ? best_before : NAN));
  const bool patient = !settings_.patience || state_.epochs_since_improve <= *settings_.patience;
  if (!patient) {
    stop_ = true;
    ending_ = Ending::early_stop;
  } else if (judged && stage_.target() > 0 && state_.best <= stage_.target()) {
    stop_ = true;
    ending_ = Ending::target_reached;
  } else if (plateau_) {
    plateau_->observe(judged ? score : loss);
  }
  state_.epoch += 1;
  state_.batch = 0;
  state_.loss_sum = state_.norm_sum = 0;
  state_.loss_count = state_.norm_count = state_.epoch_skipped = 0;
  epoch_started_ = wall_seconds();
}

Outcome Trainer::run(int64_t global_step) {
  if (state_.attempts == 0) state_.global_step = global_step;
  run_started_ = epoch_started_ = wall_seconds();
  cpu_started_ = cpu_seconds();
  samples_at_start_ = state_.samples;
  updates_at_start_ = state_.attempts;
  keep_state();
  Outcome out;
  while (!state_.finished && !stop_ && state_.epoch < settings_.epochs) {
    const StepResult result = update();
    account(result);
    report(result);
    const bool spent = budget_spent();
    if (state_.batch >= batches_.batches() || spent) {
      settle();
      improved_ = false;
      close_epoch();
      const bool last = stop_ || spent || budget_spent() || state_.epoch >= settings_.epochs;
      state_.finished = last;
      if (last || (settings_.checkpoint_every > 0 && state_.epoch % settings_.checkpoint_every == 0)) checkpoint(improved_, last);
      if (settings_.checkpoint_interval > 0 && state_.epoch % settings_.checkpoint_interval == 0 && hooks_.export_epoch)
        hooks_.export_epoch(state_.epoch);
    }
    if (hooks_.stop_signal && !state_.finished) {
      if (const int signal = hooks_.stop_signal(); signal != 0) {
        checkpoint(false, false);
        out.ending = Ending::signalled;
        out.signal = signal;
        out.state = state_;
        return out;
      }
    }
    if (hooks_.stop_here && !state_.finished && hooks_.stop_here(state_)) {
      checkpoint(false, false);
      out.ending = Ending::stopped;
      out.state = state_;
      return out;
    }
    if (hooks_.save_signal && hooks_.save_signal()) checkpoint(false, false);
  }
  if (best_raw_.empty()) take_best(state_.last_score);
  if (stage_.exports_last_average() && ema_) best_average_ = copies(ema_->state());
  out.ending = ending_;
  out.state = state_;
  return out;
}

}  // namespace ups::train
