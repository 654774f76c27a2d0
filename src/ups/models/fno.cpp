#include "ups/models/fno.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>

#include "ups/models/autocast.h"
#include "ups/models/fused_ops.h"
#include "ups/models/fused_spectral.h"

namespace ups::models {
namespace {

// Cell centres of every axis, [N, 1, axes].
Tensor cell_centres(const std::vector<int64_t>& grid) {
  std::vector<Tensor> lines;
  for (int64_t n : grid) lines.push_back((at::arange(n, at::kFloat) + 0.5) / static_cast<double>(n));
  std::vector<Tensor> columns;
  for (const auto& t : at::meshgrid(lines, "ij")) columns.push_back(t.reshape({-1, 1}));
  return at::stack(columns, -1).contiguous();
}

}  // namespace

struct Fno::Layer : Module {
  Layer(const FnoConfig& c, const TokenGrid& grid, const std::string& key)
      : spectral(c.width, grid, c.modes, c.seed, key + ".spectral"),
        pointwise(c.width, c.width, c.seed, key + ".pointwise", Role::hidden, 1.0, 1.0) {
    add_child("spectral", spectral);
    add_child("pointwise", pointwise);
  }
  SpectralConv spectral;
  Linear pointwise;
};

Fno::~Fno() = default;

Fno::Fno(FnoConfig config)
    : config_(std::move(config)),
      fc0_(config_.in_channels + (config_.grid_channel ? static_cast<int64_t>(config_.grid.size()) : 0), config_.width, config_.seed, "fc0", Role::input, 1.0, 1.0),
      fc1_(config_.width, config_.head, config_.seed, "fc1", Role::hidden, 1.0, 1.0),
      fc2_(config_.head, config_.out_channels, config_.seed, "fc2", Role::output) {
  const auto& c = config_;
  assert((c.grid.size() == 1 || c.grid.size() == 2) && c.padding.size() == c.grid.size());
  if (c.grid_channel) coordinates_ = add_buffer("coordinates", cell_centres(c.grid));
  add_child("fc0", fc0_);
  for (size_t a = 0; a < c.grid.size(); ++a) padded_.push_back(c.grid[a] + c.padding[a]);
  // The transform sees one period of the padded field, whatever the boundary.
  const TokenGrid grid{padded_, std::vector<bool>(padded_.size(), true)};
  for (int64_t i = 0; i < c.layers; ++i) {
    const std::string key = "layers." + std::to_string(i);
    layers_.push_back(std::make_unique<Layer>(c, grid, key));
    add_child(key, *layers_.back());
  }
  add_child("fc1", fc1_);
  add_child("fc2", fc2_);
}

Tensor Fno::pad(const Tensor& tokens) const {
  if (padded_ == config_.grid) return tokens;
  const int64_t b = tokens.size(1), d = tokens.size(2);
  std::vector<int64_t> shape(config_.grid), widths{0, 0, 0, 0};
  shape.insert(shape.end(), {b, d});
  for (size_t a = config_.grid.size(); a-- > 0;) widths.insert(widths.end(), {0, config_.padding[a]});
  return at::constant_pad_nd(tokens.view(shape), widths).view({-1, b, d});
}

Tensor Fno::crop(const Tensor& tokens) const {
  if (padded_ == config_.grid) return tokens;
  const int64_t b = tokens.size(1), d = tokens.size(2);
  std::vector<int64_t> shape(padded_);
  shape.insert(shape.end(), {b, d});
  Tensor t = tokens.view(shape);
  for (size_t a = 0; a < padded_.size(); ++a) t = t.narrow(static_cast<int64_t>(a), 0, config_.grid[a]);
  return t.reshape({-1, b, d});
}

Tensor Fno::forward(const Tensor& x, const Condition&) {
  const int64_t batch = x.size(0);
  Tensor t = x.flatten(2).permute({2, 0, 1});
  if (coordinates_.defined()) t = at::cat({t, coordinates_.expand({t.size(0), batch, coordinates_.size(2)}).to(t.scalar_type())}, -1);
  t = pad(fc0_(t.contiguous()));
  for (const auto& layer : layers_) t = layer->spectral.layer(t, layer->pointwise, layer != layers_.back());
  // fp32 from here: what the head emits is far below one bf16 step of the state.
  const AutocastGuard full_precision(x.device().type(), false, at::kFloat);
  t = crop(t).to(fc1_.weight.scalar_type());
  t = fused::enabled(t) ? fused::gelu_mlp(t, fc1_.weight, fc1_.bias, fc2_.weight, fc2_.bias) : fc2_(at::gelu(fc1_(t)));
  std::vector<int64_t> shape{batch, config_.out_channels};
  shape.insert(shape.end(), config_.grid.begin(), config_.grid.end());
  return t.permute({1, 2, 0}).reshape(shape).to(x.scalar_type());
}

}  // namespace ups::models
