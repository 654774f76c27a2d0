#include "ups/models/field_operator.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include "ups/core/rng.h"

namespace ups::models {
namespace {

// A generator of its own per draw, on the device of the draw: no copy, no wait, no shared state.
at::Generator generator(uint64_t key, const at::Device& device = at::kCPU) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(key);
  at::Generator g = at::globalContext().defaultGenerator(device).clone();
  g.set_current_seed(key);
  return g;
}

}  // namespace

Tensor per_sample(const Tensor& z, double value) { return at::full({z.size(0)}, value, z.options()); }

Tensor channel_scale(const std::vector<double>& values, size_t axes) {
  std::vector<int64_t> shape{1, static_cast<int64_t>(values.size())};
  shape.insert(shape.end(), axes, 1);
  Tensor t = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
  for (size_t i = 0; i < values.size(); ++i) t[static_cast<int64_t>(i)] = static_cast<float>(values[i]);
  return t.view(shape);
}

Tensor seen_frames(const Tensor& fields, int64_t last, int64_t context) {
  return context == 1 ? fields.select(1, last) : fields.narrow(1, last - context + 1, context).flatten(1, 2);
}

Tensor slide(const Tensor& seen, const Tensor& next) {
  const int64_t kept = seen.size(1) - next.size(1);
  return kept == 0 ? next : at::cat({seen.narrow(1, next.size(1), kept), next}, 1);
}

FieldOperator::FieldOperator(std::unique_ptr<FieldModel> net, const std::vector<double>& delta_rms, size_t axes, bool predict_state,
                             const std::vector<int64_t>& conserved)
    : net_(std::move(net)), predict_state_(predict_state) {
  add_child("net", *net_);
  scale_ = add_buffer("delta_scale", channel_scale(delta_rms, axes));
  if (conserved.empty()) return;
  std::vector<double> kept(delta_rms.size(), 0.0);
  for (int64_t c : conserved) kept[static_cast<size_t>(c)] = 1.0;
  kept_ = add_buffer("conserved", channel_scale(kept, axes));
}

Tensor FieldOperator::newest(const Tensor& seen) const {
  const int64_t channels = scale_.size(1);
  return seen.size(1) == channels ? seen : seen.narrow(1, seen.size(1) - channels, channels);
}

Tensor FieldOperator::change(const Tensor& seen, const Condition& condition) const {
  const Tensor z = newest(seen), f = net_->forward(seen, condition).to(seen.scalar_type());
  const Tensor change = predict_state_ ? (f - z) / scale_ : f;
  if (!kept_.defined()) return change;
  std::vector<int64_t> space;
  for (int64_t axis = 2; axis < change.dim(); ++axis) space.push_back(axis);
  return change - kept_ * change.mean(space, true);
}

Tensor FieldOperator::step(const Tensor& seen, const Condition& condition) const {
  return newest(seen) + scale_ * change(seen, condition);
}

SteadyField::SteadyField(std::unique_ptr<FieldModel> net, const Tensor& mean_field, const std::vector<double>& rms, size_t axes)
    : net_(std::move(net)) {
  add_child("net", *net_);
  mean_ = add_buffer("mean_field", mean_field.clone());
  scale_ = add_buffer("solution_scale", channel_scale(rms, axes));
}

Tensor SteadyField::whiten(const Tensor& z) const { return (z - mean_) / scale_; }
Tensor SteadyField::unwhiten(const Tensor& y) const { return mean_ + scale_ * y; }

Tensor SteadyField::velocity(const Tensor& x, const Tensor& coeff, Condition condition, const Tensor& tau, const Tensor& s) const {
  condition.tau = tau;
  condition.step = s;
  return net_->forward(coeff.defined() ? at::cat({x, coeff}, 1) : x, condition).to(x.scalar_type());
}

Tensor SteadyField::mean_solution(const Tensor& coeff, const Condition& condition) const {
  std::vector<int64_t> shape(mean_.sizes().begin(), mean_.sizes().end());
  shape[0] = coeff.size(0);
  const Tensor zero = at::zeros(shape, coeff.options());
  return unwhiten(-velocity(zero, coeff, condition, per_sample(coeff, 1.0), per_sample(coeff, -1.0)));
}

Tensor SteadyField::sample(const Tensor& noise, const Tensor& coeff, const Condition& condition, int64_t steps, bool heun) const {
  return unwhiten(integrate(noise, steps, heun, [&](const Tensor& x, double tau) {
    return velocity(x, coeff, condition, per_sample(x, tau), per_sample(x, 0.0));
  }));
}

Tensor keyed_noise(at::IntArrayRef shape, const std::vector<uint64_t>& keys, const at::TensorOptions& options) {
  Tensor t = at::empty(shape, at::kFloat);
  for (size_t b = 0; b < keys.size(); ++b) t[static_cast<int64_t>(b)].normal_(0, 1, generator(keys[b]));
  return t.to(options.device()).to(options.dtype());
}

Tensor noise_like(const Tensor& like, uint64_t key) {
  return at::empty(like.sizes(), like.options().dtype(at::kFloat)).normal_(0, 1, generator(key, like.device())).to(like.scalar_type());
}

Tensor uniform_like(at::IntArrayRef shape, uint64_t key, const at::TensorOptions& options) {
  return at::empty(shape, options.dtype(at::kFloat)).uniform_(0, 1, generator(key, options.device())).to(options.dtype());
}

}  // namespace ups::models
