#include "ups/models/discriminators.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

namespace ups::models {
namespace {

constexpr double kSlope = 0.2;

Tensor unit(const Tensor& v) { return v / (v.norm() + 1e-12); }

}  // namespace

PatchDiscriminator::PatchDiscriminator(int64_t channels, const std::vector<bool>& periodic, std::vector<int64_t> widths, uint64_t seed) {
  const auto add = [&](int64_t out, int64_t in, int64_t taps, int64_t stride, Role role) {
    const std::string key = "layer" + std::to_string(layers_.size());
    const double bound = 1.0 / std::sqrt(static_cast<double>(in) * std::pow(static_cast<double>(taps), static_cast<double>(periodic.size())));
    layers_.push_back(std::make_unique<GridConv>(uniform_init(kernel_shape(out, in, taps, periodic.size()), bound, seed, "patch." + key), periodic, role, stride));
    add_child(key, *layers_.back());
    left_.push_back(add_buffer(key + ".left", unit(normal_init({out}, 1.0, seed, "patch." + key + ".left"))));
  };
  for (int64_t width : widths) {
    add(width, channels, 3, 2, layers_.empty() ? Role::input : Role::hidden);
    channels = width;
  }
  add(1, channels, 1, 1, Role::output);
}

Tensor PatchDiscriminator::normalised(size_t layer, bool iterate) {
  const Tensor weight = layers_[layer]->weight, matrix = weight.flatten(1);
  Tensor right;
  {
    const at::NoGradGuard no_grad;
    right = unit(at::mv(matrix.t(), left_[layer]));
    if (iterate) left_[layer].copy_(unit(at::mv(matrix, right)));
  }
  // A copy: the next iteration writes the buffer that this backward pass would read.
  return weight / at::dot(left_[layer].clone(), at::mv(matrix, right));
}

Tensor PatchDiscriminator::operator()(const Tensor& x, bool iterate) {
  Tensor t = x;
  for (size_t l = 0; l < layers_.size(); ++l) {
    t = layers_[l]->apply(t, normalised(l, iterate));
    if (l + 1 < layers_.size()) t = at::leaky_relu(t, kSlope);
  }
  return t.flatten(1);
}

TotalCorrelationDiscriminator::TotalCorrelationDiscriminator(int64_t latent_dim, int64_t width, uint64_t seed)
    : first_(latent_dim, width, seed, "tc.first", Role::input, 1.0, 1.0),
      second_(width, width, seed, "tc.second", Role::hidden, 1.0, 1.0),
      last_(width, 1, seed, "tc.last", Role::output) {
  add_child("first", first_);
  add_child("second", second_);
  add_child("last", last_);
}

Tensor TotalCorrelationDiscriminator::operator()(const Tensor& z) const {
  return last_(at::leaky_relu(second_(at::leaky_relu(first_(z), kSlope)), kSlope)).squeeze(-1);
}

}  // namespace ups::models
