#include "ups/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cmath>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/rng.h"
#include "ups/models/autocast.h"

namespace ups::train {
namespace {

constexpr int64_t kMaxSkipsInARow = 20;
constexpr double kUnset = 1e308;
constexpr int64_t kStepRecords = 200;  // `step` records per stage in metrics.jsonl
constexpr double kMinImprovement = 1e-6;  // of the reference's comparison: score + 1e-6 < best

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

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

at::ScalarType amp_type(const std::string& name) { return name == "float16" || name == "fp16" ? at::kHalf : at::kBFloat16; }

}  // namespace

Trainer::Trainer(Stage& stage, BatchSource& batches, StageSettings settings, at::Device device, Hooks hooks)
    : stage_(stage), batches_(batches), settings_(std::move(settings)), device_(device), hooks_(std::move(hooks)) {
  if (!stage_.accumulates()) settings_.accum_steps = 1;
  for (auto& p : stage_.module().parameters())
    if (p.tensor.requires_grad()) params_.push_back(p);
  optimizer_ = optim::make_optimizer(settings_.optimizer, params_);
  ema_ = make_ema(settings_, stage_.module());
  optim::GradScalerOptions scaler;
  scaler.enabled = settings_.amp && amp_type(settings_.amp_dtype) == at::kHalf;
  scaler_ = optim::GradScaler(scaler);
  std::vector<double> base;
  for (const auto& g : optimizer_->groups()) base.push_back(g.base_lr);
  if (settings_.scheduler.is_plateau()) {
    plateau_ = std::make_unique<optim::Plateau>(settings_.scheduler, base);
  } else {
    const int64_t total = settings_.scheduler.counts_steps() ? planned_updates() : settings_.epochs;
    for (double lr : base) sequences_.emplace_back(settings_.scheduler, lr, total);
  }
}

Trainer::~Trainer() = default;

int64_t Trainer::planned_updates() const {
  const int64_t per_epoch = (batches_.batches() + settings_.accum_steps - 1) / settings_.accum_steps;
  return per_epoch * settings_.epochs;
}

void Trainer::set_learning_rates() {
  if (plateau_) {
    optimizer_->set_lrs(plateau_->lrs());
    return;
  }
  const int64_t i = settings_.scheduler.counts_steps() ? state_.updates : state_.epoch;
  std::vector<double> lrs;
  for (auto& s : sequences_) lrs.push_back(s.at(i));
  optimizer_->set_lrs(lrs);
}

Trainer::StepResult Trainer::update() {
  // 1 draw
  const int64_t count = std::min(settings_.accum_steps, batches_.batches() - state_.batch);
  std::vector<TensorBatch> group;
  StepResult result;
  for (int64_t i = 0; i < count; ++i) {
    group.push_back(batches_.get(state_.epoch, state_.batch + i));
    result.samples += group.back().size();
  }
  result.micro_batches = count;
  // 2 forward and backward
  const double planned = static_cast<double>(std::max<int64_t>(1, planned_updates()));
  for (int64_t i = 0; i < count; ++i) {
    const TensorBatch& batch = group[static_cast<size_t>(i)];
    StepContext context{state_.epoch, state_.batch + i, std::min(1.0, static_cast<double>(state_.updates) / planned), 0};
    context.noise_key = mix_seed(mix_seed(sub_seed(settings_.seed, settings_.stage), static_cast<uint64_t>(state_.epoch)),
                                 static_cast<uint64_t>(context.batch));
    const double weight = settings_.reference_semantics ? 1.0 / static_cast<double>(settings_.accum_steps)
                                                        : static_cast<double>(batch.size()) / static_cast<double>(result.samples);
    Loss loss;
    {
      const models::AutocastGuard autocast(device_.type(), settings_.amp, amp_type(settings_.amp_dtype));
      loss = stage_.loss(batch, context);
    }
    scaler_.scale(count == 1 && weight == 1.0 ? loss.total : loss.total * weight).backward();
    // The reference logs the plain mean over micro-batches; otherwise samples count equally.
    const at::Tensor share = loss.total.detach().to(at::kDouble) *
                         (settings_.reference_semantics ? 1.0 : weight * static_cast<double>(count));
    result.loss = result.loss.defined() ? result.loss + share : share;
    result.parts = std::move(loss.parts);
  }
  // 3 unscale, norm, finite flag
  const optim::GradPass pass = scaler_.unscale("optimizer", params_);
  result.norm = pass.norm;
  result.found_inf = at::maximum(pass.found_inf, at::isfinite(result.loss).logical_not().to(at::kFloat));
  // 4 clip, rates, step, average
  if (settings_.clip == StageSettings::Clip::fixed) optim::clip_(params_, pass.norm, settings_.clip_norm);
  if (settings_.clip == StageSettings::Clip::ema) ema_clip_.clip(params_, pass);
  set_learning_rates();
  scaler_.step("optimizer");
  optimizer_->step(result.found_inf);
  if (ema_) ema_->update(result.found_inf);
  scaler_.update();
  // 5
  optimizer_->zero_grad();
  return result;
}

void Trainer::account(const StepResult& r) {
  state_.attempts += 1;
  state_.batch += r.micro_batches;
  state_.samples += r.samples;
  // On a CPU these reads cost nothing; the asynchronous form for CUDA comes with the device work of ups::optim.
  const bool skipped = r.found_inf.item<float>() != 0;
  if (!skipped) {
    state_.updates += 1;
    state_.skipped_in_a_row = 0;
    last_loss_ = r.loss.item<double>() / static_cast<double>(r.micro_batches);
    last_norm_ = r.norm.item<double>();
    state_.loss_sum += r.loss.item<double>();
    state_.loss_count += r.micro_batches;
    state_.norm_sum += last_norm_;
    state_.norm_count += 1;
    stage_.after_update();
    log_step();
    return;
  }
  state_.skipped += 1;
  state_.skipped_in_a_row += 1;
  state_.epoch_skipped += 1;
  if (hooks_.metrics)
    hooks_.metrics(io::JsonLine().add("kind", "skip").add("stage", stage_.log_name()).add("attempt", state_.attempts).add("update", state_.updates)
                       .add("epoch", state_.epoch).add("scale", scaler_.enabled() ? scaler_.state().scale : 1.0));
  const bool lowering = scaler_.enabled() && scaler_.state().scale > 1.0;
  if (settings_.nan_policy == "abort" && !lowering)
    throw Error(ExitCode::diverged, stage_.key(), "non-finite loss or gradient at update " + std::to_string(state_.updates) + " (nan_policy: abort)",
                "lower the learning rate, for example --set stages." + stage_.key() + ".optimizer.lr=" + std::to_string(settings_.optimizer.lr / 3));
  if (state_.skipped_in_a_row >= kMaxSkipsInARow && !lowering)
    throw Error(ExitCode::diverged, stage_.key(),
                std::to_string(state_.skipped_in_a_row) + " updates in a row had a non-finite loss or gradient (update " + std::to_string(state_.updates) + ")",
                "lower the learning rate or set grad_clip; the last good checkpoint is kept");
}

void Trainer::log_step() {
  const int64_t every = std::max<int64_t>(1, planned_updates() / kStepRecords);
  if (!hooks_.metrics || settings_.reference_semantics || state_.updates % every != 0) return;
  const std::string s = stage_.log_name() + "/";
  hooks_.metrics(io::JsonLine().add("kind", "step").add("stage", stage_.log_name()).add(s + "loss", last_loss_).add(s + "grad_norm", last_norm_)
                     .add(s + "lr", optimizer_->lrs().empty() ? 0.0 : optimizer_->lrs()[0]).add("update", state_.updates));
}

bool Trainer::validation_due() const {
  return (state_.epoch + 1) % settings_.validate_every == 0 || state_.epoch + 1 == settings_.epochs;
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
    validation = stage_.validate();
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
  const double seconds = now() - epoch_started_;
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
  epoch_started_ = now();
}

void Trainer::log_epoch(double loss, double norm, const std::optional<Validation>& validation, double seconds) {
  if (!hooks_.metrics) return;
  const std::string s = stage_.log_name() + "/";
  const auto lrs = optimizer_->lrs();
  io::JsonLine line;
  line.add("kind", "epoch").add("stage", stage_.log_name());
  line.add(s + "loss", loss).add(s + "epoch", state_.epoch).add(s + "lr", lrs.empty() ? 0.0 : lrs[0]);
  const auto groups = optimizer_->groups();
  if (groups.size() > 1)
    for (size_t g = 0; g < groups.size(); ++g) line.add(s + "lr_" + groups[g].name, lrs[g]);
  line.add(s + "epochs_since_improve", state_.epochs_since_improve).add(s + "grad_norm", norm).add(s + "epoch_time_sec", seconds);
  line.add(s + "best_loss", state_.best < 1e299 ? state_.best : NAN).add(s + "skipped", state_.epoch_skipped);
  if (scaler_.enabled()) line.add(s + "scale", scaler_.state().scale);
  if (validation) {
    line.add(s + "val_score", validation->score);
    for (const auto& [name, value] : validation->values) line.add(s + "val_" + name, value);
  }
  line.add("global_step", state_.global_step).add("update", state_.updates);
  hooks_.metrics(line);
}

Snapshot Trainer::snapshot(bool is_best, bool is_last) {
  Snapshot s;
  s.is_best = is_best;
  s.is_last = is_last;
  s.model = stage_.module().state();
  for (auto& [name, t] : stage_.extra_state()) s.model.emplace_back("stage/" + name, t);
  if (ema_) s.ema = ema_->state();
  s.optim = optimizer_->state();
  s.optim.emplace_back("clip/ema", ema_clip_.state().defined() ? ema_clip_.state() : at::zeros({3}, at::kDouble));
  // The best weights so far travel with every checkpoint, so that a resume needs no other file.
  for (const auto& [name, t] : best_raw_) s.optim.emplace_back("best/raw/" + name, t);
  for (const auto& [name, t] : best_average_) s.optim.emplace_back("best/ema/" + name, t);
  if (ema_) state_.ema_count = ema_->count().item<double>();
  const auto scale = scaler_.state();
  state_.scale = scale.scale;
  state_.growth_tracker = scale.growth_tracker;
  if (plateau_) {
    state_.plateau_best = std::clamp(plateau_->state().best, -kUnset, kUnset);  // infinite before the first observation; JSON has no inf
    state_.plateau_bad = plateau_->state().bad;
    state_.plateau_cooldown = plateau_->state().cooldown;
    state_.plateau_lrs = plateau_->lrs();
  }
  if (hooks_.metrics_bytes) state_.metrics_bytes = hooks_.metrics_bytes();
  s.state = state_;
  return s;
}

void Trainer::checkpoint(bool is_best, bool is_last) {
  if (!hooks_.checkpoint) return;
  hooks_.checkpoint(snapshot(is_best, is_last));
}

void Trainer::resume(const NamedTensors& model, const NamedTensors& ema, const NamedTensors& optim, const RunState& state,
                     const std::string& where) {
  const at::NoGradGuard no_grad;
  NamedTensors weights, extra, moments;
  for (const auto& [name, t] : model) {
    if (name.rfind("stage/", 0) == 0) extra.emplace_back(name.substr(6), t);
    else weights.emplace_back(name, t);
  }
  stage_.module().load_state(weights, where + "/model.safetensors");
  const auto mine = stage_.extra_state();
  for (const auto& [name, to] : mine) {
    bool found = false;
    for (const auto& [saved, from] : extra) {
      if (saved != name || from.sizes() != to.sizes()) continue;
      to.copy_(from);
      found = true;
    }
    if (!found) throw checkpoint_error(where, "stage state '" + name + "' is missing or mis-shaped", "use another checkpoint");
  }
  for (const auto& [name, t] : optim) {
    if (name == "clip/ema") ema_clip_.load_state(t);
    else if (name.rfind("best/raw/", 0) == 0) best_raw_.emplace_back(name.substr(9), t.clone());
    else if (name.rfind("best/ema/", 0) == 0) best_average_.emplace_back(name.substr(9), t.clone());
    else moments.emplace_back(name, t);
  }
  optimizer_->load_state(moments, where + "/optim.safetensors");
  if (ema_) ema_->load_state(ema, state.ema_count, where + "/ema.safetensors");
  state_ = state;
  optim::GradScaler::State scale = scaler_.state();
  scale.scale = state.scale;
  scale.growth_tracker = state.growth_tracker;
  if (scaler_.enabled()) scaler_.load_state(scale);
  const double plateau_best = std::abs(state.plateau_best) >= kUnset ? std::copysign(INFINITY, state.plateau_best) : state.plateau_best;
  if (plateau_) plateau_->load_state({plateau_best, state.plateau_bad, state.plateau_cooldown, state.plateau_lrs});
}

void Trainer::report(const StepResult&) {
  if (!hooks_.progress || !hooks_.wants_progress || !hooks_.wants_progress()) return;
  Progress p;
  p.stage = stage_.key();
  p.epoch = state_.epoch;
  p.epochs = settings_.epochs;
  p.batch = state_.batch;
  p.batches = batches_.batches();
  p.updates = state_.updates;
  p.loss = last_loss_;
  p.grad_norm = last_norm_;
  p.lr = optimizer_->lrs().empty() ? 0 : optimizer_->lrs()[0];
  const double seconds = std::max(1e-9, now() - run_started_);
  p.samples_per_second = static_cast<double>(state_.samples - samples_at_start_) / seconds;
  const double done = static_cast<double>(state_.attempts - updates_at_start_);
  p.seconds_left = done > 0 ? seconds / done * static_cast<double>(std::max<int64_t>(0, planned_updates() - state_.attempts)) : 0;
  p.last_score = state_.last_score;
  p.best = state_.best;
  hooks_.progress(p);
}

Outcome Trainer::run(int64_t global_step) {
  if (state_.attempts == 0) state_.global_step = global_step;
  run_started_ = epoch_started_ = now();
  samples_at_start_ = state_.samples;
  updates_at_start_ = state_.attempts;
  Outcome out;
  while (!state_.finished && !stop_ && state_.epoch < settings_.epochs) {
    const StepResult result = update();
    account(result);
    report(result);
    if (state_.batch >= batches_.batches()) {
      improved_ = false;
      close_epoch();
      const bool last = stop_ || state_.epoch >= settings_.epochs;
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
