#include "ups/stages/distill_stage.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "ups/core/rng.h"
#include "ups/stages/sample_scores.h"

namespace ups::stages {

DistillStage::DistillStage(CorrectorSetting setting, const DistillObjective& objective, std::unique_ptr<models::Corrector> student,
                           std::unique_ptr<models::Corrector> teacher, std::unique_ptr<models::Corrector> average, DistillOptions options)
    : CorrectorStage(std::move(setting), std::move(student)),
      few_steps_(objective),
      teacher_(std::move(teacher)),
      average_(std::move(average)),
      distill_(options) {
  teacher_->set_requires_grad(false);
  average_->set_requires_grad(false);
}

void DistillStage::after_update(const at::Tensor& found_inf) {
  const at::NoGradGuard no_grad;
  const double decay = distill_.average_decay;
  at::Tensor weight;
  if (found_inf.defined()) weight = (1 - found_inf) * (1 - decay);
  const auto live = model_->state(), shadow = average_->state();
  for (size_t i = 0; i < live.size(); ++i)
    if (live[i].second.is_floating_point()) weight.defined() ? shadow[i].second.lerp_(live[i].second, weight) : shadow[i].second.lerp_(live[i].second, 1 - decay);
}

DistillStage::Split DistillStage::split(int64_t n) {
  const int64_t anchors = std::max<int64_t>(1, n / 4), mean = std::max<int64_t>(1, anchors / 2);
  return {mean, anchors - mean, n - anchors};
}

train::Prepared DistillStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  const Split rows = split(batch.size());
  train::Prepared p;
  p.variant = few_steps_.variant(context.progress);
  draw_rows(batch, context.noise_key, rows.velocity, p);
  if (rows.map == 0) return p;
  const at::Tensor z = batch.fields.select(1, 0).narrow(0, 0, rows.map);
  for (int64_t d = 0; d < distill_.draws; ++d) {
    const uint64_t key = mix_seed(context.noise_key, 100 + static_cast<uint64_t>(d));
    p.tensors["map_uniform" + std::to_string(d)] = models::uniform_like({rows.map}, mix_seed(key, 4), z.options());
    p.tensors["map_noise" + std::to_string(d)] = models::noise_like(z, mix_seed(key, 5));
  }
  return p;
}

train::Loss DistillStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const ResidualRows all = rows(batch, prepared);
  const int64_t n = batch.size();
  const auto [mean, velocity, map] = split(n);
  const auto share = [n](int64_t rows) { return static_cast<double>(rows) / static_cast<double>(n); };
  train::Loss out;
  const Losses anchors = losses(all.part(0, mean + velocity), mean, prepared);
  out.parts.emplace_back("mean_mode", anchors.mean_mode.detach());
  out.total = anchors.mean_mode * share(mean);
  if (velocity > 0) out.total = out.total + anchors.objective * share(velocity);
  if (map == 0) return out;
  const ResidualRows rest = all.part(n - map, map);
  const at::Tensor weight = tail_weight(rest);
  at::Tensor sum;
  for (int64_t d = 0; d < distill_.draws; ++d) {
    const std::string number = std::to_string(d);
    const at::Tensor l = (few_steps_.loss({*model_, *teacher_, *average_}, rest, prepared.variant, prepared.tensors.at("map_uniform" + number),
                                          prepared.tensors.at("map_noise" + number)) * weight).mean();
    sum = sum.defined() ? sum + l : l;
  }
  sum = sum / static_cast<double>(distill_.draws);
  out.parts.emplace_back(few_steps_.name(), sum.detach());
  out.total = out.total + sum * share(map);
  return out;
}

train::Validation DistillStage::validate() {
  const SampleScores s = score_samples(held_out_, setting_.op, *model_, [&](const ResidualRows& r, const NoiseOf& noise) {
    return few_steps_.sample(*model_, r.z, r.z_op, r.condition, noise, 1);
  });
  return {finite_score(s.crps()), {{"crps", s.crps()}, {"spread_skill", s.spread_skill()}, {"mean_one_step_nrmse", mean_scores()[0].second}}};
}

}  // namespace ups::stages
