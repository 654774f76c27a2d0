#include "ups/stages/field_space.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/data/first_frames.h"
#include "ups/models/autocast.h"
#include "ups/models/field_operator.h"

namespace ups::stages {
namespace {

constexpr double kFloor = 0.02;             // RMS in normalised units below which a field counts as died out
constexpr int64_t kMeasuredTrajectories = 256;

std::vector<int64_t> evenly(const std::vector<int64_t>& members, int64_t limit) {
  const int64_t n = static_cast<int64_t>(members.size());
  if (n <= limit) return members;
  std::vector<int64_t> out;
  for (int64_t i = 0; i < limit; ++i) out.push_back(members[static_cast<size_t>(i * n / limit)]);
  return out;
}

// Change over one stride: RMS per channel and mean relative size, over at most kMeasuredTrajectories of the train split.
void measure_change(FieldSpace& s) {
  const auto& info = s.info();
  const int64_t c = info.channels, cells = info.cells(), frame = c * cells;
  std::vector<double> square(static_cast<size_t>(c), 0);
  double count = 0, relative = 0, windows = 0;
  std::vector<float> u(static_cast<size_t>(info.frames * frame));
  for (int64_t trajectory : evenly(s.dataset->members(data::Split::train), kMeasuredTrajectories)) {
    s.dataset->read(trajectory, 0, info.frames, u);
    s.normalizer.apply(u, c, cells);
    for (int64_t t = 0; t + s.stride < info.frames; ++t) {
      const float *a = u.data() + t * frame, *b = u.data() + (t + s.stride) * frame;
      double d2 = 0, b2 = 0;
      for (int64_t k = 0; k < c; ++k) {
        double sum = 0;
        for (int64_t i = 0; i < cells; ++i) {
          const double d = static_cast<double>(b[k * cells + i]) - static_cast<double>(a[k * cells + i]);
          sum += d * d;
          b2 += static_cast<double>(b[k * cells + i]) * static_cast<double>(b[k * cells + i]);
        }
        square[static_cast<size_t>(k)] += sum;
        d2 += sum;
      }
      count += static_cast<double>(cells);
      relative += std::sqrt(d2) / std::max(std::sqrt(b2), kFloor * std::sqrt(static_cast<double>(frame)));
      windows += 1;
    }
  }
  s.delta_rms.clear();
  for (double q : square) s.delta_rms.push_back(std::max(1e-12, std::sqrt(q / std::max(1.0, count))));
  s.persistence = std::max(1e-12, relative / std::max(1.0, windows));
}

bool params_vary(data::Dataset& d) {
  const auto& train = d.members(data::Split::train);
  return std::any_of(train.begin(), train.end(), [&](int64_t t) { return d.params(t) != d.params(train[0]); });
}

}  // namespace

int64_t FieldSpace::channels() const { return autoencoder ? autoencoder->config().latent_dim : info().channels; }
std::vector<int64_t> FieldSpace::grid() const { return autoencoder ? autoencoder->latent_grid() : info().grid; }

at::Tensor FieldSpace::encode(const at::Tensor& fields) const {
  if (!autoencoder) return fields;
  const at::NoGradGuard no_grad;
  // Latents are targets of later stages: in full precision.
  const models::AutocastGuard full_precision(fields.device().type(), false, at::kFloat);
  return autoencoder->encode(fields);
}

at::Tensor FieldSpace::decode(const at::Tensor& z) const { return autoencoder ? autoencoder->decode(z) : z; }
at::Tensor FieldSpace::physical(const at::Tensor& z) const { return decode(z) * std + mean; }

void enter_latent_space(FieldSpace& s, std::shared_ptr<models::FieldAutoencoder> autoencoder) {
  autoencoder->set_requires_grad(false);
  s.autoencoder = std::move(autoencoder);
  const at::NoGradGuard no_grad;
  const auto members = evenly(s.dataset->members(data::Split::train), kMeasuredTrajectories);
  at::Tensor square = at::zeros({s.channels()}, at::TensorOptions().dtype(at::kDouble).device(s.device));
  double relative = 0;
  for (int64_t trajectory : members) {
    const at::Tensor z = s.encode(normalised_trajectory(s, trajectory));
    const at::Tensor next = z.slice(0, s.stride), change = next - z.slice(0, 0, next.size(0));
    square += change.to(at::kDouble).square().transpose(0, 1).flatten(1).mean(1);
    relative += relative_error(change, next).item<double>();
  }
  const double n = static_cast<double>(std::max<size_t>(1, members.size()));
  s.delta_rms.clear();
  for (int64_t c = 0; c < s.channels(); ++c) s.delta_rms.push_back(std::max(1e-12, std::sqrt(square[c].item<double>() / n)));
  s.delta_scale = models::channel_scale(s.delta_rms, s.axes()).to(s.device);
  s.persistence = std::max(1e-12, relative / n);
}

at::Tensor normalised_trajectory(FieldSpace& s, int64_t trajectory) {
  const auto& info = s.info();
  std::vector<int64_t> shape{info.frames, info.channels};
  shape.insert(shape.end(), info.grid.begin(), info.grid.end());
  at::Tensor fields = at::empty(shape, at::kFloat);
  const std::span<float> values(fields.data_ptr<float>(), static_cast<size_t>(fields.numel()));
  s.dataset->read(trajectory, 0, info.frames, values);
  s.normalizer.apply(values, info.channels, info.cells());
  return fields.to(s.device);
}

std::unique_ptr<FieldSpace> open_field_space(const data::DataOptions& options, int64_t stride, at::Device device) {
  auto s = std::make_unique<FieldSpace>();
  s->whole = data::Dataset::open(options);
  s->dataset = options.train_frames ? data::first_frames(s->whole, *options.train_frames) : s->whole;
  s->normalizer = data::Normalizer::fit(*s->dataset, options.normalization);
  s->device = device;
  s->stride = stride;
  const size_t axes = s->axes();
  s->mean = models::channel_scale(s->normalizer.mean, axes).to(device);
  s->std = models::channel_scale(s->normalizer.std, axes).to(device);
  at::Tensor kinds = at::zeros({1, 7});
  for (auto b : s->info().boundary) kinds[0][static_cast<int64_t>(b)] += 1.0 / static_cast<double>(s->info().boundary.size());
  s->boundary = kinds.to(device);
  s->params_vary = params_vary(*s->dataset);
  if (!s->info().steady) measure_change(*s);
  if (!s->delta_rms.empty()) s->delta_scale = models::channel_scale(s->delta_rms, axes).to(device);
  return s;
}

models::Condition condition_of(const FieldSpace& space, const train::TensorBatch& batch) {
  models::Condition c;
  c.dt = batch.dt;
  c.params = batch.params;
  c.boundary = space.boundary.expand({batch.size(), space.boundary.size(1)});
  return c;
}

at::Tensor sample_norm(const at::Tensor& x) { return at::linalg_vector_norm(x.flatten(1), 2, at::IntArrayRef{1}); }

at::Tensor relative_error(const at::Tensor& error, const at::Tensor& truth) {
  const double floor = kFloor * std::sqrt(static_cast<double>(truth.numel() / truth.size(0)));
  return (sample_norm(error) / sample_norm(truth).clamp_min(floor)).mean();
}

HeldOut hold_out(FieldSpace& space, data::Split split, int64_t limit, int64_t initial_step) {
  const auto& info = space.info();
  const int64_t frames = info.steady ? 1 : (info.frames + space.stride - 1) / space.stride;
  HeldOut h;
  h.trajectory = evenly(space.dataset->members(split), limit);
  const int64_t v = static_cast<int64_t>(h.trajectory.size());
  std::vector<int64_t> coeff_shape{v, info.coeff_channels};
  coeff_shape.insert(coeff_shape.end(), info.grid.begin(), info.grid.end());
  std::vector<at::Tensor> states;
  at::Tensor coeff = info.coeff_channels > 0 ? at::empty(coeff_shape, at::kFloat) : at::Tensor();
  const int64_t np = static_cast<int64_t>(info.param_names.size());
  at::Tensor params = np > 0 ? at::empty({v, np}, at::kFloat) : at::Tensor();
  for (int64_t i = 0; i < v; ++i) {
    const int64_t trajectory = h.trajectory[static_cast<size_t>(i)];
    states.push_back(space.encode(normalised_trajectory(space, trajectory).slice(0, 0, (frames - 1) * space.stride + 1, space.stride)));
    if (coeff.defined()) {
      std::vector<float> c(static_cast<size_t>(info.coeff_channels * info.cells()));
      space.dataset->read_coeff(trajectory, c);
      space.normalizer.apply_coeff(c, info.coeff_channels, info.cells());
      std::copy(c.begin(), c.end(), coeff.data_ptr<float>() + i * static_cast<int64_t>(c.size()));
    }
    if (np > 0) {
      const auto p = space.normalizer.normalise_params(space.dataset->params(trajectory));
      std::copy(p.begin(), p.end(), params.data_ptr<float>() + i * np);
    }
  }
  std::vector<int64_t> none{0, frames, space.channels()};  // of a split without trajectories
  for (int64_t n : space.grid()) none.push_back(n);
  h.fields = states.empty() ? at::empty(none, space.mean.options()) : at::stack(states);
  if (coeff.defined()) h.coeff = coeff.to(space.device);
  if (params.defined()) h.params = params.to(space.device);
  h.first = info.steady ? 0 : std::min<int64_t>(frames - 2, std::max<int64_t>(0, (initial_step + space.stride - 1) / space.stride - 1));
  h.condition.dt = at::full({v}, info.dt * static_cast<double>(space.stride), at::kFloat).to(space.device);
  h.condition.params = h.params;
  h.condition.boundary = space.boundary.expand({v, space.boundary.size(1)});
  return h;
}

double physical_nrmse(const at::Tensor& p, const at::Tensor& y) {
  const at::Tensor e = (p - y).flatten(2).to(at::kDouble), t = y.flatten(2).to(at::kDouble);
  return (at::linalg_vector_norm(e, 2, at::IntArrayRef{2}) / at::linalg_vector_norm(t, 2, at::IntArrayRef{2}).clamp_min(1e-30)).mean().item<double>();
}

at::Tensor along(const at::Tensor& t, const at::Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[0] = t.size(0);
  return t.view(shape);
}

}  // namespace ups::stages
