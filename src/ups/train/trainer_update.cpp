// Trainer: one optimisation step.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/process.h"
#include "ups/core/rng.h"
#include "ups/models/autocast.h"
#include "ups/train/trainer.h"

namespace ups::train {
namespace {

class SyncForbidden {
 public:
  explicit SyncForbidden(const std::function<void(bool)>& set) : set_(set) {
    if (set_) set_(true);
  }
  ~SyncForbidden() {
    if (set_) set_(false);
  }
  SyncForbidden(const SyncForbidden&) = delete;
  SyncForbidden& operator=(const SyncForbidden&) = delete;

 private:
  const std::function<void(bool)>& set_;
};

at::Tensor gradient_norms(const optim::ParamList& params) {
  std::vector<at::Tensor> norms;
  for (const auto& p : params)
    if (p.tensor.grad().defined()) norms.push_back(at::linalg_vector_norm(p.tensor.grad(), 2, {}, false, at::kDouble));
  return norms.empty() ? at::Tensor() : at::stack(norms);
}

}  // namespace

void Trainer::set_learning_rates() {
  int64_t i = settings_.scheduler.counts_steps() ? state_.updates : state_.epoch;
  if (settings_.scheduler.counts_steps() && settings_.cpu_seconds > 0) i = std::llround(progress() * static_cast<double>(kBudgetSteps));
  std::vector<double> lrs;
  if (plateau_) lrs = plateau_->lrs();
  for (auto& s : sequences_) lrs.push_back(s.at(i));
  if (state_.updates < state_.slow_until)
    for (double& lr : lrs) lr /= 2;
  optimizer_->set_lrs(lrs);
}

void Trainer::clip(const optim::GradPass& pass) {
  using Clip = StageSettings::Clip;
  if (!device_.is_cpu()) {
    if (settings_.clip == Clip::fixed) optim::clip_(params_, pass.norm, settings_.clip_norm);
    if (settings_.clip == Clip::ema) ema_clip_.clip(params_, pass);
    return;
  }
  // The optimizer multiplies as it reads: no second pass over the gradients.
  double factor = 1;
  if (settings_.clip == Clip::fixed) factor = optim::clip_factor(pass.norm.item<double>(), settings_.clip_norm);
  if (settings_.clip == Clip::ema) factor = ema_clip_.coefficient(pass).item<double>();
  optim::multiply_on_read(*optimizer_, pass.pending * factor);
}

at::ScalarType Trainer::amp_type() const {
  return settings_.amp_dtype == "float16" || settings_.amp_dtype == "fp16" ? at::kHalf : at::kBFloat16;
}

double Trainer::progress() const {
  if (settings_.cpu_seconds > 0) return std::min(1.0, cpu_used() / settings_.cpu_seconds);
  return std::min(1.0, static_cast<double>(state_.updates) / static_cast<double>(std::max<int64_t>(1, planned_updates())));
}

double Trainer::cpu_used() const { return state_.cpu_seconds + cpu_seconds() - cpu_started_; }

bool Trainer::budget_spent() const { return settings_.cpu_seconds > 0 && cpu_used() + validation_cpu_ >= settings_.cpu_seconds; }

ForwardPass Trainer::forward(const MicroBatch& m) {
  Loss loss;
  {
    const models::AutocastGuard autocast(device_.type(), settings_.amp, amp_type());
    loss = stage_.loss_of(m.batch, m.prepared);
  }
  return {scaler_.scale(m.weight == 1.0 ? loss.total : loss.total * m.weight), loss.total.detach().to(at::kDouble) * m.logged, std::move(loss.parts)};
}

void Trainer::differentiate(const MicroBatch& m, StepResult& result) {
  const auto add = [](at::Tensor& sum, const at::Tensor& share) { sum = sum.defined() ? sum + share : share; };
  if (graphs_)
    if (const at::Tensor logged = graphs_->run(m); logged.defined()) return add(result.loss, logged);
  const ForwardPass f = forward(m);
  f.scaled.backward();
  add(result.loss, f.logged);
  if (f.terms.empty()) return;
  std::vector<at::Tensor> values;
  result.term_names.clear();
  for (const auto& [name, value] : f.terms) {
    result.term_names.push_back(name);
    values.push_back(value.to(at::kDouble));
  }
  add(result.terms, at::stack(values));
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
  const SyncForbidden forbidden(hooks_.forbid_sync);
  // 2 forward and backward
  for (int64_t i = 0; i < count; ++i) {
    TensorBatch& batch = group[static_cast<size_t>(i)];
    StepContext context{state_.epoch, state_.batch + i, progress(), 0};
    context.noise_key = mix_seed(mix_seed(sub_seed(settings_.seed, settings_.stage), static_cast<uint64_t>(state_.epoch)),
                                 static_cast<uint64_t>(context.batch));
    const double weight = settings_.reference_semantics ? 1.0 / static_cast<double>(settings_.accum_steps)
                                                        : static_cast<double>(batch.size()) / static_cast<double>(result.samples);
    // The reference logs the plain mean over micro-batches; otherwise samples count equally.
    const double logged = settings_.reference_semantics ? 1.0 : weight * static_cast<double>(count);
    Prepared prepared = stage_.prepare(batch, context);
    differentiate({std::move(batch), std::move(prepared), weight, logged}, result);
  }
  // 3 unscale, norm, finite flag
  const auto read = [&](const std::string& name, const optim::ParamList& params) {
    return device_.is_cpu() ? scaler_.read(name, params) : scaler_.unscale(name, params);
  };
  const optim::GradPass pass = read("optimizer", params_);
  result.norm = pass.norm;
  result.norms = pass.norms;
  result.found_inf = at::maximum(pass.found_inf, at::isfinite(result.loss).logical_not().to(at::kFloat));
  std::vector<Player*> playing;
  for (Player& player : adversaries_) {
    if (std::none_of(player.params.begin(), player.params.end(), [](const auto& p) { return p.tensor.grad().defined(); })) continue;
    const optim::GradPass theirs = read(player.name, player.params);
    if (device_.is_cpu()) optim::multiply_on_read(*player.optimizer, theirs.pending);
    result.found_inf = at::maximum(result.found_inf, theirs.found_inf);
    playing.push_back(&player);
  }
  if (device_.is_cpu() && result.found_inf.item<float>() != 0) result.norms = gradient_norms(params_);
  const bool logged = stats_ && step_record_due(state_.updates + 1);
  if (logged) stats_->before(pass.pending);
  // 4 clip, rates, step, average
  clip(pass);
  set_learning_rates();
  scaler_.step("optimizer");
  optimizer_->step(result.found_inf);
  for (Player* player : playing) {
    scaler_.step(player->name);
    player->optimizer->step(result.found_inf);
    player->optimizer->zero_grad();
  }
  if (logged) result.groups = stats_->after();
  if (ema_) ema_->update(result.found_inf);
  scaler_.update();
  if (!device_.is_cpu()) stage_.after_update(result.found_inf);
  // 5
  optimizer_->zero_grad();
  return result;
}

}  // namespace ups::train
