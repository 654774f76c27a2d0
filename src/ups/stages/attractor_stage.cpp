#include "ups/stages/attractor_stage.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "ups/core/rng.h"

namespace ups::stages {
namespace {

constexpr int64_t kAttractorFrames = 256;  // of the held-out set
constexpr uint64_t kAttractorKey = 0xa77a;

}  // namespace

SteadyStatistics attractor_statistics(FieldSpace& space) {
  const auto& info = space.info();
  const size_t channels = static_cast<size_t>(info.channels), cells = static_cast<size_t>(info.cells());
  std::vector<double> sum(channels, 0), square(channels, 0);
  std::vector<float> u(static_cast<size_t>(info.frames) * channels * cells);
  double count = 0;
  for (int64_t trajectory : space.dataset->members(data::Split::train)) {
    space.dataset->read(trajectory, 0, info.frames, u);
    space.normalizer.apply(u, info.channels, info.cells());
    for (size_t i = 0; i < u.size(); ++i) {
      const double v = static_cast<double>(u[i]);
      sum[i / cells % channels] += v;
      square[i / cells % channels] += v * v;
    }
    count += static_cast<double>(static_cast<size_t>(info.frames) * cells);
  }
  std::vector<int64_t> shape{1, info.channels};
  shape.insert(shape.end(), info.grid.begin(), info.grid.end());
  SteadyStatistics out{at::empty(shape, at::kFloat), {}};
  for (size_t c = 0; c < channels; ++c) {
    const double mean = sum[c] / count;
    out.mean_field[0][static_cast<int64_t>(c)].fill_(mean);
    out.rms.push_back(std::max(1e-6, std::sqrt(std::max(0.0, square[c] / count - mean * mean))));
  }
  out.mean_field = out.mean_field.to(space.device);
  return out;
}

AttractorStage::AttractorStage(FieldSpace& space, std::unique_ptr<models::SteadyField> model) : space_(space), model_(std::move(model)) {
  const int64_t frames = space.info().frames;
  const HeldOut held = hold_out(space, data::Split::val, std::max<int64_t>(1, kAttractorFrames / frames), 1);
  const int64_t times = held.fields.size(1);
  held_out_ = held.fields.flatten(0, 1);
  const auto every_frame = [&](const at::Tensor& t) { return t.defined() ? t.repeat_interleave(times, 0) : t; };
  condition_.dt = every_frame(held.condition.dt);
  condition_.params = every_frame(held.condition.params);
  condition_.boundary = every_frame(held.condition.boundary);
  noise_ = models::noise_like(held_out_, kAttractorKey);
  tau_noise_ = models::noise_like(at::empty({held_out_.size(0)}, held_out_.options()), kAttractorKey + 1);
}

train::Prepared AttractorStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  const at::Tensor z = batch.fields.select(1, 0);
  p.tensors["noise"] = models::noise_like(z, mix_seed(context.noise_key, 1));
  p.tensors["tau_noise"] = models::noise_like(at::empty({batch.size()}, z.options()), mix_seed(context.noise_key, 2));
  return p;
}

train::Loss AttractorStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  train::Loss out;
  out.total = flow_loss(*model_, model_->whiten(batch.fields.select(1, 0)), {}, condition_of(space_, batch), prepared.tensors.at("noise"),
                        prepared.tensors.at("tau_noise"));
  out.parts.emplace_back("flow", out.total.detach());
  return out;
}

train::Validation AttractorStage::validate() {
  const double loss = flow_loss(*model_, model_->whiten(held_out_), {}, condition_, noise_, tau_noise_).item<double>();
  return {std::isfinite(loss) ? loss : 1e300, {{"flow", loss}}};
}

}  // namespace ups::stages
