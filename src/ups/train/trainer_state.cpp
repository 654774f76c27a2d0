// Trainer: its state into a checkpoint and back.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/core/process.h"
#include "ups/train/trainer.h"

namespace ups::train {
namespace {

constexpr double kUnset = 1e308;  // JSON has no inf
const std::string kAdversary = "adversary/";

}  // namespace

Snapshot Trainer::snapshot(bool is_best, bool is_last) {
  Snapshot s;
  s.is_best = is_best;
  s.is_last = is_last;
  s.model = stage_.module().state();
  for (auto& [name, t] : stage_.extra_state()) s.model.emplace_back("stage/" + name, t);
  if (ema_) s.ema = ema_->state();
  s.optim = optimizer_state();
  s.optim.emplace_back("clip/ema", ema_clip_.state().defined() ? ema_clip_.state() : at::zeros({3}, at::kDouble));
  // The best weights so far travel with every checkpoint, so that a resume needs no other file.
  for (const auto& [name, t] : best_raw_) s.optim.emplace_back("best/raw/" + name, t);
  for (const auto& [name, t] : best_average_) s.optim.emplace_back("best/ema/" + name, t);
  if (ema_) state_.ema_count = ema_->count().item<double>();
  const auto scale = scaler_.state();
  if (settings_.cpu_seconds > 0) {
    state_.cpu_seconds = cpu_used();
    cpu_started_ = cpu_seconds();
  }
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
  settle();
  hooks_.checkpoint(snapshot(is_best, is_last));
}

void Trainer::resume(const NamedTensors& model, const NamedTensors& ema, const NamedTensors& optim, const RunState& state,
                     const std::string& where) {
  NamedTensors moments;
  for (const auto& [name, t] : optim) {
    if (name == "clip/ema") ema_clip_.load_state(t);
    else if (name.rfind("best/raw/", 0) == 0) best_raw_.emplace_back(name.substr(9), t.clone());
    else if (name.rfind("best/ema/", 0) == 0) best_average_.emplace_back(name.substr(9), t.clone());
    else moments.emplace_back(name, t);
  }
  load_tensors(model, ema, moments, state.ema_count, where);
  state_ = state;
  optim::GradScaler::State scale = scaler_.state();
  scale.scale = state.scale;
  scale.growth_tracker = state.growth_tracker;
  if (scaler_.enabled()) scaler_.load_state(scale);
  const double plateau_best = std::abs(state.plateau_best) >= kUnset ? std::copysign(INFINITY, state.plateau_best) : state.plateau_best;
  if (plateau_) plateau_->load_state({plateau_best, state.plateau_bad, state.plateau_cooldown, state.plateau_lrs});
}

NamedTensors Trainer::optimizer_state() const {
  NamedTensors out = optimizer_->state();
  for (const Player& player : adversaries_)
    for (const auto& [name, t] : player.optimizer->state()) out.emplace_back(kAdversary + player.name + "/" + name, t);
  return out;
}

void Trainer::load_tensors(const NamedTensors& model, const NamedTensors& ema, const NamedTensors& optim, double ema_count,
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
  const auto belongs_to = [](const std::string& name, const std::string& prefix) { return name.rfind(prefix, 0) == 0; };
  for (const auto& [name, t] : optim)
    if (!belongs_to(name, kAdversary)) moments.emplace_back(name, t);
  optimizer_->load_state(moments, where + "/optim.safetensors");
  for (const Player& player : adversaries_) {
    const std::string prefix = kAdversary + player.name + "/";
    NamedTensors theirs;
    for (const auto& [name, t] : optim)
      if (belongs_to(name, prefix)) theirs.emplace_back(name.substr(prefix.size()), t);
    player.optimizer->load_state(theirs, where + "/optim.safetensors");
  }
  if (ema_) ema_->load_state(ema, ema_count, where + "/ema.safetensors");
}

}  // namespace ups::train
