#include "ups/stages/operator_stage.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "ups/stages/field_losses.h"

namespace ups::stages {
namespace {

enum Variant : int64_t { kOneStep, kActive };  // before and from rollout.start_frac on

}  // namespace

FieldOperatorStage::FieldOperatorStage(FieldSpace& space, std::unique_ptr<models::FieldOperator> model, OperatorLossOptions options,
                                       int64_t initial_step, std::string key)
    : space_(space),
      model_(std::move(model)),
      options_(std::move(options)),
      key_(std::move(key)),
      held_out_(hold_out(space, data::Split::val, kValidationTrajectories, initial_step)) {}

int64_t FieldOperatorStage::window() const {
  const bool multi = options_.rollout.mode == "pushforward" || options_.rollout.mode == "unroll";
  // At least one step: a set without a frame after the context is refused by the loader.
  if (multi && options_.rollout.steps == 0) return std::max(held_out_.fields.size(1), options_.context + 1);
  int64_t steps = multi ? std::max<int64_t>(2, options_.rollout.steps) : 1;
  if (options_.lambda_rollout > 0) steps = std::max(steps, 1 + options_.rollout_horizon);
  return options_.context + steps;
}

train::Prepared FieldOperatorStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  p.variant = options_.rollout.mode != "none" && context.progress >= options_.rollout.start_frac ? kActive : kOneStep;
  if (p.variant == kActive && options_.rollout.mode == "noise")
    p.tensors["noise"] = models::noise_like(models::seen_frames(batch.fields, options_.context - 1, options_.context), context.noise_key);
  return p;
}

train::Loss FieldOperatorStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const models::Condition condition = condition_of(space_, batch);
  const int64_t now = options_.context - 1;
  const auto frame = [&](int64_t step) { return batch.fields.select(1, now + step); };  // 0 = the last one seen
  const auto error = [&](const at::Tensor& z, int64_t step) {
    return options_.squared_error ? (z - frame(step)).square().mean() : relative_error(z - frame(step), frame(step));
  };
  const auto& rollout = options_.rollout;
  const int64_t steps = rollout.steps == 0 ? batch.fields.size(1) - options_.context : rollout.steps;
  const bool active = prepared.variant == kActive;
  at::Tensor seen = models::seen_frames(batch.fields, now, options_.context);
  if (active && rollout.mode == "noise") seen = seen + rollout.noise * prepared.tensors.at("noise");
  const auto advance = [&] {
    const at::Tensor z = model_->step(seen, condition);
    seen = models::slide(seen, z);
    return z;
  };
  train::Loss out;
  at::Tensor prediction;
  int64_t target = 1;
  if (active && rollout.mode == "pushforward") {
    {
      const at::NoGradGuard no_grad;
      for (; target < steps; ++target) advance();
    }
    prediction = advance();
    out.total = error(prediction, target);
  } else if (active && rollout.mode == "unroll") {
    for (; target <= steps; ++target) {
      prediction = advance();
      const at::Tensor e = error(prediction, target);
      out.total = out.total.defined() ? out.total + e : e;
    }
    if (!options_.squared_error) out.total = out.total / static_cast<double>(steps);
    target = steps;
  } else {
    prediction = advance();
    out.total = error(prediction, 1);
  }
  if (!options_.squared_error) out.total = out.total / space_.persistence;
  const at::Tensor truth = frame(target);
  const auto add = [&](const char* name, double weight, const at::Tensor& value) {
    out.parts.emplace_back(name, value.detach());
    out.total = out.total + weight * value;
  };
  if (options_.lambda_relative > 0)
    add("relative", options_.lambda_relative, relative_error(space_.physical(prediction) - space_.physical(truth), space_.physical(truth)));
  if (options_.lambda_spectral > 0)
    add("spectral", options_.lambda_spectral, log_spectrum_error(space_.physical(prediction), space_.physical(truth)).mean());
  if (options_.lambda_rollout > 0) {
    at::Tensor sum;
    for (int64_t k = 1; k <= options_.rollout_horizon && now + target + k < batch.fields.size(1); ++k) {
      const at::Tensor e = relative_error(advance() - frame(target + k), frame(target + k));
      sum = sum.defined() ? sum + e : e;
    }
    if (sum.defined()) add("rollout", options_.lambda_rollout, sum / (space_.persistence * static_cast<double>(options_.rollout_horizon)));
  }
  return out;
}

train::Validation FieldOperatorStage::validate() {
  const auto step = [&](const at::Tensor& seen) { return model_->step(seen, held_out_.condition); };
  const auto s = score_rollout(space_, held_out_, step, options_.context);
  return {s.rollout, {{"rollout_nrmse", s.rollout}, {"one_step_nrmse", s.one_step}, {"persistence_nrmse", s.persistence}}};
}

}  // namespace ups::stages
