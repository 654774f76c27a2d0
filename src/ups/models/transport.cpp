#include "ups/models/transport.h"

#include <ATen/ATen.h>

#include "ups/models/fused_ops.h"

namespace ups::models {
namespace {

// Displacements reach about this far when training begins to use them. Burgers nu .001, one epoch: 8 and 16 tokens, one-step error
// .0020 and .0023.
constexpr double kReach = 8.0;
// Initial displacements are small but not zero: the lookup starts near a pointwise map whose displacement has a gradient.
constexpr double kDisplacementGain = 0.1;

// The two tokens around a position and the weight of the second, along an axis of n tokens.
struct Taps {
  Tensor first, second, weight;
};
Taps taps_of(const Tensor& position, int64_t n, bool periodic) {
  const Tensor p = periodic ? position : position.clamp(0, static_cast<double>(n - 1));
  const Tensor floor = at::floor(p).detach(), first = floor.to(at::kLong);
  const auto index = [&](const Tensor& i) { return periodic ? at::remainder(i, n) : i.clamp(0, n - 1); };
  return {index(first), index(first + 1), p - floor};
}

}  // namespace

Tensor displaced(const Tensor& v, const Tensor& displacement, const TokenGrid& grid) {
  const size_t axes = grid.size.size();
  const int64_t n = v.size(0), b = v.size(1), d = v.size(2), heads = displacement.size(2) / static_cast<int64_t>(axes);
  const Tensor shift = displacement.view({n, b, heads, static_cast<int64_t>(axes)});
  const Tensor rows = at::arange(n, v.options()).view({n, 1, 1});
  const int64_t width = grid.size[axes - 1];
  const Tensor values = v.view({n, b, heads, d / heads});
  const auto at_token = [&](const Tensor& i) { return at::gather(values, 0, i.unsqueeze(-1).expand({n, b, heads, d / heads})); };
  const auto along_last = [&](const Tensor& offset) {
    const Taps t = taps_of(at::remainder(rows, width) + shift.select(3, static_cast<int64_t>(axes) - 1), width, grid.periodic[axes - 1]);
    const Tensor w = t.weight.unsqueeze(-1);
    return at_token(offset + t.first) * (1 - w) + at_token(offset + t.second) * w;
  };
  if (axes == 1) return along_last(at::zeros({1}, v.options().dtype(at::kLong))).reshape(v.sizes());
  const Taps t = taps_of(at::floor(rows / static_cast<double>(width)) + shift.select(3, 0), grid.size[0], grid.periodic[0]);
  const Tensor w = t.weight.unsqueeze(-1);
  return (along_last(t.first * width) * (1 - w) + along_last(t.second * width) * w).reshape(v.sizes());
}

Transport::Transport(int64_t dim, int64_t heads, TokenGrid grid, uint64_t seed, const std::string& key)
    : grid_(std::move(grid)),
      value_(dim, dim, seed, key + ".value"),
      displacement_(dim, heads * static_cast<int64_t>(grid_.size.size()), seed, key + ".displacement", Role::embedding, kDisplacementGain) {
  add_child("value", value_);
  add_child("displacement", displacement_);
}

Tensor Transport::operator()(const Tensor& x) const {
  const Tensor v = value_(x), d = displacement_(x);
  // Positions need more digits than bf16 has.
  if (fused::enabled(v)) return fused::displaced(v, d, grid_, kReach);
  return displaced(v, kReach * d.to(at::kFloat), grid_).to(v.scalar_type());
}

void Transport::lend(fused::MixingBranches& branches) const {
  branches.value_weight = value_.weight;
  branches.value_bias = value_.bias;
  branches.displacement_weight = displacement_.weight;
  branches.displacement_bias = displacement_.bias;
  branches.reach = kReach;
}

}  // namespace ups::models
