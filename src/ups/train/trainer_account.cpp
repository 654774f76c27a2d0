// Trainer: what becomes of an update once its numbers are known: counters, skips, records, progress.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/process.h"
#include "ups/train/trainer.h"

namespace ups::train {
namespace {

constexpr int64_t kMaxSkipsInARow = 20;
constexpr double kSpike = 10;              // times the average loss: as bad as a loss that is not finite
constexpr int64_t kStepRecords = 200;  // `step` records per stage in metrics.jsonl
constexpr int64_t kBudgetRecordEvery = 50;  // updates between them under a CPU budget

}  // namespace

void Trainer::account(const StepResult& r) {
  state_.attempts += 1;
  state_.batch += r.micro_batches;
  state_.samples += r.samples;
  state_.updates += 1;  // until settle() finds that it was skipped
  pending_.push_back(r);
  if (static_cast<int64_t>(pending_.size()) >= (device_.is_cpu() ? 1 : settings_.settle_every)) settle();
}

void Trainer::settle() {
  if (pending_.empty()) return;
  std::vector<at::Tensor> numbers;
  for (const auto& r : pending_) {
    for (const auto& t : {r.found_inf, r.loss, r.norm}) numbers.push_back(t.detach().reshape({1}).to(at::kDouble));
    if (r.groups.defined()) {  // gets a record
      numbers.push_back(r.groups.reshape({-1}));
      if (r.terms.defined()) numbers.push_back(r.terms);
    }
  }
  // On a GPU one read for many updates: the only place where the loop waits for the device.
  const at::Tensor host = at::cat(numbers).to(at::kCPU);
  const double* value = host.const_data_ptr<double>();
  const std::vector<StepResult> settled = std::move(pending_);
  pending_.clear();
  state_.updates -= static_cast<int64_t>(settled.size());
  for (const StepResult& r : settled) {
    if (value[0] != 0) count_skip(r);
    else count_update(r, value);
    value += 3;
    if (!r.groups.defined()) continue;
    value += r.groups.numel() + (r.terms.defined() ? r.terms.numel() : 0);
  }
}

// numbers: flag, loss, norm, then the update's statistics and terms where it gets a record.
void Trainer::count_update(const StepResult& r, const double* numbers) {
  const double loss = numbers[1], norm = numbers[2];
  state_.updates += 1;
  state_.skipped_in_a_row = 0;
  last_loss_ = loss / static_cast<double>(r.micro_batches);
  last_norm_ = norm;
  state_.loss_sum += loss;
  state_.loss_count += r.micro_batches;
  state_.norm_sum += norm;
  state_.norm_count += 1;
  if (device_.is_cpu()) stage_.after_update({});
  log_step(r, numbers + 3, r.groups.defined() ? numbers + 3 + r.groups.numel() : nullptr);
  if (settings_.nan_policy != "rollback") return;
  if (state_.loss_average > 0 && last_loss_ > kSpike * state_.loss_average)
    return roll_back(fmt::format("the loss {:.3g} is {:.0f} times its average", last_loss_, last_loss_ / state_.loss_average));
  state_.loss_average = state_.loss_average > 0 ? 0.98 * state_.loss_average + 0.02 * last_loss_ : last_loss_;
  if (state_.updates % settings_.rollback_every == 0) keep_state();
}

std::string Trainer::blame(const StepResult& r) const {
  std::string text;
  const auto values = [](const at::Tensor& t) {
    const at::Tensor host = t.to(at::kCPU).contiguous();
    return std::vector<double>(host.const_data_ptr<double>(), host.const_data_ptr<double>() + host.numel());
  };
  if (r.terms.defined()) {
    const auto terms = values(r.terms);
    const auto bad = std::find_if_not(terms.begin(), terms.end(), [](double v) { return std::isfinite(v); });
    if (bad != terms.end()) text = "loss term " + r.term_names[static_cast<size_t>(bad - terms.begin())];
  }
  if (!r.norms.defined()) return text;
  const auto norms = values(r.norms);
  const auto bad = std::count_if(norms.begin(), norms.end(), [](double v) { return !std::isfinite(v); });
  if (bad == 0) return text;
  // Norms are those of the parameters that got a gradient; with others among them the first name cannot be told.
  const auto first = static_cast<size_t>(std::find_if_not(norms.begin(), norms.end(), [](double v) { return std::isfinite(v); }) - norms.begin());
  const std::string name = norms.size() == params_.size() ? params_[first].name : "number " + std::to_string(first + 1);
  return text + fmt::format("{}gradient of {} ({} of {} parameters)", text.empty() ? "" : ", ", name, bad, norms.size());
}

void Trainer::count_skip(const StepResult& r) {
  state_.skipped += 1;
  state_.skipped_in_a_row += 1;
  state_.epoch_skipped += 1;
  const bool lowering = scaler_.enabled() && scaler_.state().scale > 1.0;
  // Overflows that a lower scale cures are no news.
  const std::string who = lowering ? "" : blame(r);
  if (hooks_.metrics)
    hooks_.metrics(io::JsonLine().add("kind", "skip").add("stage", stage_.log_name()).add("attempt", state_.attempts).add("update", state_.updates)
                       .add("epoch", state_.epoch).add("scale", scaler_.enabled() ? scaler_.state().scale : 1.0).add("not_finite", who));
  if (!lowering && state_.skipped_in_a_row == 1)
    log::warn(fmt::format("{}: update {} is not finite: {}", stage_.key(), state_.updates + 1, who.empty() ? "the loss" : who));
  if (settings_.nan_policy == "abort" && !lowering)
    throw Error(ExitCode::diverged, stage_.key(), "non-finite loss or gradient at update " + std::to_string(state_.updates) + " (nan_policy: abort)",
                "lower the learning rate, for example --set stages." + stage_.key() + ".optimizer.lr=" + std::to_string(settings_.optimizer.lr / 3));
  if (state_.skipped_in_a_row >= kMaxSkipsInARow && !lowering)
    throw Error(ExitCode::diverged, stage_.key(),
                std::to_string(state_.skipped_in_a_row) + " updates in a row had a non-finite loss or gradient (update " + std::to_string(state_.updates) + ")",
                "lower the learning rate or set grad_clip; the last good checkpoint is kept");
  if (settings_.nan_policy == "rollback" && !lowering) roll_back("not finite");
}

bool Trainer::step_record_due(int64_t update) const {
  const int64_t every = settings_.cpu_seconds > 0 ? kBudgetRecordEvery : std::max<int64_t>(1, planned_updates() / kStepRecords);
  return hooks_.metrics && !settings_.reference_semantics && update % every == 0;
}

// groups: the optimizer's numbers of r, terms: those of the loss; both only where the update gets a record.
void Trainer::log_step(const StepResult& r, const double* groups, const double* terms) {
  if (!step_record_due(state_.updates)) return;
  const std::string s = stage_.log_name() + "/";
  io::JsonLine line;
  line.add("kind", "step").add("stage", stage_.log_name()).add(s + "loss", last_loss_).add(s + "grad_norm", last_norm_);
  line.add(s + "lr", optimizer_->lrs().empty() ? 0.0 : optimizer_->lrs()[0]).add("update", state_.updates);
  const auto infos = optimizer_->groups();
  const auto lrs = optimizer_->lrs();
  const size_t count = r.groups.defined() ? static_cast<size_t>(r.groups.numel()) / optim::UpdateStats::kCount : 0;
  for (size_t g = 0; g < count; ++g) {
    const double* value = groups + g * optim::UpdateStats::kCount;
    const std::string suffix = "_" + infos[g].name;
    line.add(s + "grad_norm" + suffix, value[0]).add(s + "weight_rms" + suffix, value[1]).add(s + "update_rms" + suffix, value[2]);
    if (infos[g].unit_rms > 0) line.add(s + "update_rms_nominal" + suffix, lrs[g] * infos[g].unit_rms);
  }
  if (terms != nullptr && r.terms.defined())
    for (size_t t = 0; t < r.term_names.size(); ++t) line.add(s + "loss_" + r.term_names[t], terms[t] / static_cast<double>(r.micro_batches));
  hooks_.metrics(line);
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
  const double seconds = std::max(1e-9, wall_seconds() - run_started_);
  p.samples_per_second = static_cast<double>(state_.samples - samples_at_start_) / seconds;
  const double done = static_cast<double>(state_.attempts - updates_at_start_);
  const double share = progress();
  p.seconds_left = settings_.cpu_seconds > 0 ? (share > 0 ? seconds / share * (1 - share) : 0) : done > 0 ? seconds / done * static_cast<double>(std::max<int64_t>(0, planned_updates() - state_.attempts)) : 0;
  p.last_score = state_.last_score;
  p.best = state_.best;
  hooks_.progress(p);
}

}  // namespace ups::train
