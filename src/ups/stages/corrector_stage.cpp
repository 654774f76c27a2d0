#include "ups/stages/corrector_stage.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/rng.h"
#include "ups/models/autocast.h"
#include "ups/stages/operator_stage.h"

namespace ups::stages {
namespace {

at::Tensor filled(const at::Tensor& z, double value) { return at::full({z.size(0)}, value, z.options()); }

template <class F>
void for_each_window(const HeldOut& h, F&& f) {
  for (int64_t t = 0; t + 1 < h.fields.size(1); ++t) f(h.fields.select(1, t), h.fields.select(1, t + 1));
}

}  // namespace

std::vector<double> residual_rms(const HeldOut& h, const models::FieldOperator& op) {
  const at::NoGradGuard no_grad;
  at::Tensor square = at::zeros({h.fields.size(2)}, at::TensorOptions().dtype(at::kDouble).device(h.fields.device()));
  int64_t windows = 0;
  for_each_window(h, [&](const at::Tensor& z, const at::Tensor& next) {
    square += (next - op.step(z, h.condition)).transpose(0, 1).flatten(1).to(at::kDouble).square().mean(1);
    ++windows;
  });
  std::vector<double> out;
  for (int64_t c = 0; c < square.size(0); ++c)
    out.push_back(std::max(1e-9, std::sqrt(square[c].item<double>() / static_cast<double>(std::max<int64_t>(1, windows)))));
  return out;
}

double residual_relative(const HeldOut& h, const models::FieldOperator& op) {
  const at::NoGradGuard no_grad;
  double sum = 0, n = 0;
  for_each_window(h, [&](const at::Tensor& z, const at::Tensor& next) {
    sum += relative_error(op.step(z, h.condition) - next, next).item<double>();
    n += 1;
  });
  return std::max(1e-12, sum / std::max(1.0, n));
}

at::Tensor apply_correction(const models::Corrector& corrector, const CorrectorOptions& options, const at::Tensor& z,
                            const at::Tensor& z_op, at::Tensor residual) {
  at::Tensor change = corrector.scale() * residual;
  for (int64_t c : options.conserved) {
    at::Tensor channel = change.select(1, c);
    change = change.clone();
    change.select(1, c).copy_(channel - along(channel.flatten(1).mean(1), channel));
  }
  if (options.gate > 0) {
    // Sampling noise puts energy into states that hardly move any more: no correction there.
    const at::Tensor moved = ((z_op - z) / corrector.scale()).flatten(1).square().mean(1).sqrt();
    change = at::where(along(moved < options.gate, change), at::zeros_like(change), change);
  }
  return z_op + change;
}

ResidualFlowStage::ResidualFlowStage(FieldSpace& space, const models::FieldOperator& op, std::unique_ptr<models::Corrector> model,
                                     CorrectorOptions options, int64_t initial_step, double operator_error)
    : space_(space),
      op_(op),
      model_(std::move(model)),
      options_(std::move(options)),
      held_out_(hold_out(space, data::Split::val, kValidationTrajectories, initial_step)),
      operator_error_(operator_error) {}

// Which rows are null-noise rows is decided by their place: batches are shuffled, and a fixed share has less variance.
int64_t ResidualFlowStage::null_rows(int64_t n) const {
  return std::clamp<int64_t>(std::llround(options_.null_token_share * static_cast<double>(n)), 0, n);
}

void ResidualFlowStage::draw_rows(const train::TensorBatch& batch, uint64_t key, int64_t flow_rows, train::Prepared& out) const {
  const at::Tensor z = batch.fields.select(1, 0);
  if (options_.rollout_mix > 0 && batch.fields.size(1) > 2)
    out.tensors["own"] = models::uniform_like({z.size(0)}, mix_seed(key, 7), z.options());
  if (flow_rows == 0) return;
  out.tensors["noise"] = models::noise_like(z.narrow(0, 0, flow_rows), mix_seed(key, 1));
  out.tensors["tau_noise"] = models::noise_like(filled(z.narrow(0, 0, flow_rows), 0), mix_seed(key, 2));
}

ResidualFlowStage::Rows ResidualFlowStage::rows(const train::TensorBatch& batch, const train::Prepared& prepared) const {
  const at::NoGradGuard no_grad;
  // The residual is far below the resolution of 16-bit types: the operator runs in full precision.
  const models::AutocastGuard full_precision(batch.fields.device().type(), false, at::kFloat);
  Rows r;
  r.condition = condition_of(space_, batch);
  r.z = batch.fields.select(1, 0);
  r.target = batch.fields.select(1, 1);
  r.z_op = op_.step(r.z, r.condition);
  if (const auto drawn = prepared.tensors.find("own"); drawn != prepared.tensors.end()) {
    const at::Tensor own = drawn->second < options_.rollout_mix;
    const at::Tensor later = op_.step(r.z_op, r.condition);
    r.target = at::where(along(own, r.z), batch.fields.select(1, 2), r.target);
    r.z = at::where(along(own, r.z), r.z_op, r.z);
    r.z_op = at::where(along(own, r.z), later, r.z_op);
  }
  r.r = (r.target - r.z_op) / model_->scale();
  return r;
}

ResidualFlowStage::Rows ResidualFlowStage::part(const Rows& a, int64_t first, int64_t count) {
  const auto cut = [&](const at::Tensor& t) { return t.defined() ? t.narrow(0, first, count) : t; };
  Rows r;
  r.z = cut(a.z);
  r.z_op = cut(a.z_op);
  r.target = cut(a.target);
  r.r = cut(a.r);
  r.condition.dt = cut(a.condition.dt);
  r.condition.params = cut(a.condition.params);
  r.condition.boundary = cut(a.condition.boundary);
  return r;
}

at::Tensor ResidualFlowStage::mean_loss(const Rows& r) const {
  const at::Tensor predicted = model_->mean_residual(r.z, r.z_op, r.condition);
  return relative_error(model_->scale() * (predicted - r.r), r.target) / operator_error_;
}

at::Tensor ResidualFlowStage::flow_loss(const Rows& r, const train::Prepared& prepared) const {
  const at::Tensor noise = prepared.tensors.at("noise");
  const at::Tensor tau = at::sigmoid(prepared.tensors.at("tau_noise"));
  const at::Tensor t = along(tau, r.r), x = (1 - t) * r.r + t * noise;
  const at::Tensor v = model_->velocity(x, r.z, r.z_op, r.condition, tau, filled(r.z, 0.0));
  return ((v - (noise - r.r)).square().flatten(1).mean(1) * flow_weight(r)).mean();
}

// Residuals are heavy-tailed: fast-moving states have ones many times their RMS, and their squares would drown every other row (and,
// through the clipped norm, the mean mode). A weight that depends on the condition only does not move the minimiser.
at::Tensor ResidualFlowStage::flow_weight(const Rows& r) const {
  const at::Tensor moved = sample_norm((r.z_op - r.z) / space_.delta_scale).square() /
                           static_cast<double>(r.z.numel() / r.z.size(0));
  return 0.25 / (0.25 + moved);
}

train::Prepared ResidualFlowStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  draw_rows(batch, context.noise_key, batch.size() - null_rows(batch.size()), p);
  return p;
}

train::Loss ResidualFlowStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const Rows all = rows(batch, prepared);
  const int64_t n = batch.size(), null_rows = this->null_rows(n);
  train::Loss out;
  if (null_rows > 0) {
    const at::Tensor l = mean_loss(part(all, 0, null_rows));
    out.parts.emplace_back("mean_mode", l.detach());
    out.total = l * (static_cast<double>(null_rows) / static_cast<double>(n));
  }
  if (null_rows < n) {
    const at::Tensor l = flow_loss(part(all, null_rows, n - null_rows), prepared);
    out.parts.emplace_back("flow", l.detach());
    const at::Tensor share = l * (static_cast<double>(n - null_rows) / static_cast<double>(n));
    out.total = out.total.defined() ? out.total + share : share;
  }
  return out;
}

train::Validation ResidualFlowStage::validate() {
  const auto& c = held_out_.condition;
  const auto operator_only = score_rollout(space_, held_out_, [&](const at::Tensor& z) { return op_.step(z, c); });
  const auto corrected = score_rollout(space_, held_out_, [&](const at::Tensor& z) {
    const at::Tensor z_op = op_.step(z, c);
    return apply_correction(*model_, options_, z, z_op, model_->mean_residual(z, z_op, c));
  });
  return {corrected.one_step,
          {{"one_step_nrmse", corrected.one_step}, {"rollout_nrmse", corrected.rollout}, {"operator_one_step_nrmse", operator_only.one_step},
           {"operator_rollout_nrmse", operator_only.rollout}}};
}

ShortcutStage::ShortcutStage(FieldSpace& space, const models::FieldOperator& op, std::unique_ptr<models::Corrector> student,
                                   std::unique_ptr<models::Corrector> teacher, std::unique_ptr<models::Corrector> average,
                                   CorrectorOptions options, int64_t initial_step, double operator_error, int64_t draws,
                                   double average_decay, double target)
    : ResidualFlowStage(space, op, std::move(student), std::move(options), initial_step, operator_error),
      teacher_(std::move(teacher)),
      average_(std::move(average)),
      draws_(draws),
      decay_(average_decay),
      target_(target) {
  teacher_->set_requires_grad(false);
  average_->set_requires_grad(false);
}

void ShortcutStage::after_update(const at::Tensor& found_inf) {
  const at::NoGradGuard no_grad;
  at::Tensor weight;
  if (found_inf.defined()) weight = (1 - found_inf) * (1 - decay_);
  const auto live = model_->state(), shadow = average_->state();
  for (size_t i = 0; i < live.size(); ++i)
    if (live[i].second.is_floating_point()) weight.defined() ? shadow[i].second.lerp_(live[i].second, weight) : shadow[i].second.lerp_(live[i].second, 1 - decay_);
}

at::Tensor ShortcutStage::shortcut_loss(const Rows& r, int64_t sizes, const Random& random) const {
  // Step sizes 1/8 .. 1. Rows get them by place: batches are shuffled, and the rows of the smallest step, which ask the teacher, lie
  // together.
  const int64_t n = r.z.size(0), smallest = (n + sizes - 1) / sizes;
  const at::Tensor level = at::floor(at::arange(n, r.z.options()) * (static_cast<double>(sizes) / static_cast<double>(n))).clamp_max(static_cast<double>(sizes - 1));
  const at::Tensor s = at::exp2(level - 3);
  const at::Tensor slots = at::exp2(3 - level);  // tau on the grid {1, 1 - s, .., s}
  const at::Tensor slot = (random.uniform * slots).floor();
  const at::Tensor tau = 1 - s * at::minimum(slot, slots - 1);
  const at::Tensor x = (1 - along(tau, r.r)) * r.r + along(tau, r.r) * random.noise;
  at::Tensor wanted;
  {
    const at::NoGradGuard no_grad;
    const at::Tensor half = s / 2;
    const auto half_step = [&](const at::Tensor& state, const at::Tensor& time) {
      // Below 1/8 the flow map is the teacher's velocity.
      const Rows first = part(r, 0, smallest), rest = part(r, smallest, n - smallest);
      const at::Tensor by_teacher = teacher_->velocity(state.narrow(0, 0, smallest), first.z, first.z_op, first.condition,
                                                       time.narrow(0, 0, smallest), filled(first.z, 0.0));
      if (smallest == n) return by_teacher;
      const at::Tensor by_average = average_->velocity(state.narrow(0, smallest, n - smallest), rest.z, rest.z_op, rest.condition,
                                                       time.narrow(0, smallest, n - smallest), half.narrow(0, smallest, n - smallest));
      return at::cat({by_teacher, by_average}, 0);
    };
    const at::Tensor u1 = half_step(x, tau);
    const at::Tensor u2 = half_step(x - along(half, x) * u1, tau - half);
    wanted = (u1 + u2) / 2;
  }
  return ((model_->velocity(x, r.z, r.z_op, r.condition, tau, s) - wanted).square().flatten(1).mean(1) * flow_weight(r)).mean();
}

// 1/4 anchor rows, half of them in the mean mode; the rest learn the flow map, `draws` times per batch.
ShortcutStage::Split ShortcutStage::split(int64_t n) {
  const int64_t anchors = std::max<int64_t>(1, n / 4), mean = std::max<int64_t>(1, anchors / 2);
  return {mean, anchors - mean, n - anchors};
}

train::Prepared ShortcutStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  const Split rows = split(batch.size());
  train::Prepared p;
  p.variant = context.progress < 0.25 ? 2 : 4;  // step sizes: the first quarter of the training only the small ones
  draw_rows(batch, context.noise_key, rows.flow, p);
  if (rows.shortcut == 0) return p;
  const at::Tensor z = batch.fields.select(1, 0).narrow(0, 0, rows.shortcut);
  for (int64_t d = 0; d < draws_; ++d) {
    const uint64_t key = mix_seed(context.noise_key, 100 + static_cast<uint64_t>(d));
    p.tensors["shortcut_uniform" + std::to_string(d)] = models::uniform_like({rows.shortcut}, mix_seed(key, 4), z.options());
    p.tensors["shortcut_noise" + std::to_string(d)] = models::noise_like(z, mix_seed(key, 5));
  }
  return p;
}

train::Loss ShortcutStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const Rows all = rows(batch, prepared);
  const int64_t n = batch.size();
  const auto [mean_rows, flow_rows, shortcut_rows] = split(n);
  train::Loss out;
  const at::Tensor mean_mode = mean_loss(part(all, 0, mean_rows));
  out.parts.emplace_back("mean_mode", mean_mode.detach());
  out.total = mean_mode * (static_cast<double>(mean_rows) / static_cast<double>(n));
  if (flow_rows > 0) out.total = out.total + flow_loss(part(all, mean_rows, flow_rows), prepared) * (static_cast<double>(flow_rows) / static_cast<double>(n));
  if (shortcut_rows > 0) {
    const Rows rest = part(all, n - shortcut_rows, shortcut_rows);
    at::Tensor sum;
    for (int64_t d = 0; d < draws_; ++d) {
      const std::string number = std::to_string(d);
      const at::Tensor l = shortcut_loss(rest, prepared.variant, {prepared.tensors.at("shortcut_uniform" + number), prepared.tensors.at("shortcut_noise" + number)});
      sum = sum.defined() ? sum + l : l;
    }
    sum = sum / static_cast<double>(draws_);
    out.parts.emplace_back("shortcut", sum.detach());
    out.total = out.total + sum * (static_cast<double>(shortcut_rows) / static_cast<double>(n));
  }
  return out;
}

train::Validation ShortcutStage::validate() {
  // Fair CRPS of one-step samples in units of the residual's RMS, M = 4 keyed members, over every held-out window.
  constexpr int64_t kMembers = 4;
  const auto& c = held_out_.condition;
  double crps = 0, spread = 0, error = 0, windows = 0;
  for (int64_t t = held_out_.first; t + 1 < held_out_.fields.size(1); t += 4) {
    const at::Tensor z = held_out_.fields.select(1, t), next = held_out_.fields.select(1, t + 1), z_op = op_.step(z, c);
    const at::Tensor truth = (next - z_op) / model_->scale();
    std::vector<at::Tensor> members;
    for (int64_t m = 0; m < kMembers; ++m)
      members.push_back(model_->jump(models::noise_like(z, mix_seed(mix_seed(11, static_cast<uint64_t>(t)), static_cast<uint64_t>(m))), z, z_op, c, 1));
    const at::Tensor x = at::stack(members);
    at::Tensor pairs = at::zeros_like(truth);
    for (int64_t i = 0; i < kMembers; ++i)
      for (int64_t j = i + 1; j < kMembers; ++j) pairs = pairs + (x[i] - x[j]).abs();
    crps += ((x - truth).abs().mean(0) - pairs / static_cast<double>(kMembers * (kMembers - 1))).mean().item<double>();
    spread += x.var(0).mean().item<double>();
    error += (x.mean(0) - truth).square().mean().item<double>();
    windows += 1;
  }
  const double score = crps / std::max(1.0, windows);
  const double ratio = std::sqrt((kMembers + 1.0) / kMembers * spread / std::max(1e-30, error));
  auto mean_mode = ResidualFlowStage::validate();
  return {std::isfinite(score) ? score : 1e300,
          {{"crps", score}, {"spread_skill", ratio}, {"mean_one_step_nrmse", mean_mode.values[0].second}}};
}

}  // namespace ups::stages
