// Trainer: nan_policy rollback. Weights alone would not do: one NaN in a momentum matrix makes every later orthogonalised update NaN.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/train/trainer.h"

namespace ups::train {
namespace {

constexpr size_t kKept = 2;             // an older state, should the newer one lead into the same hole
constexpr int64_t kMaxRollbacksInARow = 5;
constexpr int64_t kSlowUpdates = 200;   // at half the rate afterwards
constexpr int64_t kApart = 20;          // updates between rollbacks that are no longer in a row

NamedTensors deep_copies(const NamedTensors& values) {
  const at::NoGradGuard no_grad;
  NamedTensors out;
  for (const auto& [name, t] : values) out.emplace_back(name, t.detach().clone());
  return out;
}

bool all_finite(const NamedTensors& values) {
  std::vector<at::Tensor> flags;
  for (const auto& [name, t] : values)
    if (t.is_floating_point()) flags.push_back(at::isfinite(t).all().reshape({1}));
  return flags.empty() || at::cat(flags).all().item<bool>();
}

}  // namespace

void Trainer::keep_state() {
  if (settings_.nan_policy != "rollback") return;
  const at::NoGradGuard no_grad;
  NamedTensors model = stage_.module().state();
  for (auto& [name, t] : stage_.extra_state()) model.emplace_back("stage/" + name, t);
  const NamedTensors moments = optimizer_state();
  if (!all_finite(model) || !all_finite(moments)) return roll_back("a weight or a moment is not finite");
  kept_.push_back({deep_copies(model), ema_ ? deep_copies(ema_->state()) : NamedTensors{}, deep_copies(moments), ema_ ? ema_->count().item<double>() : 0});
  if (kept_.size() > kKept) kept_.pop_front();
}

void Trainer::roll_back(const std::string& why) {
  if (kept_.empty())
    throw Error(ExitCode::diverged, stage_.key(), why + " before the first snapshot of nan_policy rollback", "check the data and the initial weights");
  if (state_.updates >= state_.slow_until - kSlowUpdates + kApart) state_.rollbacks_in_a_row = 0;
  state_.rollbacks += 1;
  state_.rollbacks_in_a_row += 1;
  if (state_.rollbacks_in_a_row > kMaxRollbacksInARow)
    throw Error(ExitCode::diverged, stage_.key(), fmt::format("{} rollbacks without progress at update {}: {}", state_.rollbacks_in_a_row, state_.updates, why),
                "lower the learning rate; the last good checkpoint is kept");
  // The second time in a row the older state is tried.
  if (state_.rollbacks_in_a_row > 1 && kept_.size() > 1) kept_.pop_back();
  const Saved& saved = kept_.back();
  load_tensors(saved.model, saved.ema, saved.optim, saved.ema_count, "snapshot of nan_policy rollback");
  state_.slow_until = state_.updates + kSlowUpdates;
  state_.loss_average = 0;
  log::warn(fmt::format("{}: rolled back at update {} ({}), half the rates for {} updates", stage_.key(), state_.updates, why, kSlowUpdates));
  if (hooks_.metrics)
    hooks_.metrics(io::JsonLine().add("kind", "rollback").add("stage", stage_.log_name()).add("update", state_.updates).add("epoch", state_.epoch).add("why", why));
}

}  // namespace ups::train
