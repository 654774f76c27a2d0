#include "ups/models/unet.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "ups/models/autocast.h"
#include "ups/models/gelu.h"
#include "ups/models/grid_conv.h"

namespace ups::models {
namespace {

int64_t power(int64_t base, size_t exponent) { return exponent == 1 ? base : base * base; }

}  // namespace

struct Unet::Pair : Module {
  Pair(int64_t in, int64_t out, const UnetConfig& c, const std::string& key, Role first = Role::hidden) : periodic(c.periodic) {
    const auto conv = [&](int64_t from, int64_t index, Role role) {
      const double bound = 1.0 / std::sqrt(static_cast<double>(from * power(3, c.grid.size())));
      const std::string name = std::to_string(index);
      weight.push_back(add_parameter(name + ".weight", uniform_init(kernel_shape(out, from, 3, c.grid.size()), bound, c.seed, key + "." + name), role));
      bias.push_back(add_parameter(name + ".bias", uniform_init({out}, bound, c.seed, key + "." + name + ".bias")));
    };
    conv(in, 0, first);
    conv(out, 1, Role::hidden);
  }
  Tensor operator()(Tensor x) const {
    for (size_t i = 0; i < weight.size(); ++i) {
      for (size_t a = 0; a < periodic.size(); ++a) x = pad_axis(x, static_cast<int64_t>(a) + 2, 1, 1, periodic[a]);
      x = fused::gelu(periodic.size() == 1 ? at::conv1d(x, weight[i], bias[i]) : at::conv2d(x, weight[i], bias[i]));
    }
    return x;
  }
  std::vector<bool> periodic;
  std::vector<Tensor> weight, bias;
};

struct Unet::Up : Module {
  Up(int64_t in, int64_t out, const UnetConfig& c, const std::string& key) {
    const double bound = 1.0 / std::sqrt(static_cast<double>(in));
    weight = add_parameter("weight", uniform_init(kernel_shape(in, out, 2, c.grid.size()), bound, c.seed, key));
    bias = add_parameter("bias", at::zeros({out}));
  }
  Tensor operator()(const Tensor& x) const {
    return x.dim() == 3 ? at::conv_transpose1d(x, weight, bias, 2) : at::conv_transpose2d(x, weight, bias, 2);
  }
  Tensor weight, bias;
};

Unet::~Unet() = default;

Unet::Unet(UnetConfig config) : config_(std::move(config)) {
  const auto& c = config_;
  assert((c.grid.size() == 1 || c.grid.size() == 2) && c.periodic.size() == c.grid.size() && c.levels >= 1);
  const int64_t unit = int64_t{1} << (c.levels - 1);
  for (int64_t n : c.grid) extra_.push_back((unit - n % unit) % unit);
  const auto width = [&](int64_t level) { return std::min(c.features << level, c.max_features); };
  for (int64_t l = 0; l < c.levels; ++l) {
    const std::string key = "down." + std::to_string(l);
    down_.push_back(std::make_unique<Pair>(l == 0 ? c.in_channels : width(l - 1), width(l), c, key, l == 0 ? Role::input : Role::hidden));
    add_child(key, *down_.back());
  }
  for (int64_t l = 0; l + 1 < c.levels; ++l) {  // from level l + 1 up to l
    const std::string level = std::to_string(l);
    rise_.push_back(std::make_unique<Up>(width(l + 1), width(l), c, "rise." + level));
    up_.push_back(std::make_unique<Pair>(2 * width(l), width(l), c, "up." + level));
    add_child("rise." + level, *rise_.back());
    add_child("up." + level, *up_.back());
  }
  const double bound = 1.0 / std::sqrt(static_cast<double>(c.features));
  head_weight_ = add_parameter("head.weight", uniform_init(kernel_shape(c.out_channels, width(0), 1, c.grid.size()), bound, c.seed, "head"), Role::output);
  head_bias_ = add_parameter("head.bias", at::zeros({c.out_channels}));
}

Tensor Unet::extend(const Tensor& x) const {
  Tensor y = x;
  for (size_t a = 0; a < extra_.size(); ++a)
    if (extra_[a] > 0) y = pad_axis(y, static_cast<int64_t>(a) + 2, 0, extra_[a], config_.periodic[a]);
  return y;
}

Tensor Unet::forward(const Tensor& x, const Condition&) {
  const bool line = config_.grid.size() == 1;
  Tensor t = (*down_[0])(extend(x));
  std::vector<Tensor> skips;
  for (size_t l = 1; l < down_.size(); ++l) {
    skips.push_back(t);
    t = (*down_[l])(line ? at::max_pool1d(t, 2) : at::max_pool2d(t, 2));
  }
  for (size_t l = skips.size(); l-- > 0;) t = (*up_[l])(at::cat({(*rise_[l])(t), skips[l]}, 1));
  // fp32 from here, as in the other networks.
  const AutocastGuard full_precision(x.device().type(), false, at::kFloat);
  t = t.to(head_weight_.scalar_type());
  t = line ? at::conv1d(t, head_weight_, head_bias_) : at::conv2d(t, head_weight_, head_bias_);
  for (size_t a = 0; a < extra_.size(); ++a)
    if (extra_[a] > 0) t = t.narrow(static_cast<int64_t>(a) + 2, 0, config_.grid[a]);
  return t.contiguous().to(x.scalar_type());
}

}  // namespace ups::models
