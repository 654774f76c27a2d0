#include "ups/models/pde_transformer.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>
#include <cmath>

#include "ups/models/autocast.h"
#include "ups/models/fused_ops.h"
#include "ups/models/gelu.h"
#include "ups/models/path_probe.h"
#include "ups/models/pdet_block.h"

namespace ups::models {
namespace {

int64_t round_up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }

// Tokens per axis at the finest level: whole patches, halving at every level, windows not degenerate.
int64_t padded_tokens(int64_t cells, int64_t patch, int64_t levels, int64_t window) {
  const int64_t unit = int64_t{1} << (levels - 1);
  for (int64_t n = round_up(round_up(cells, patch) / patch, unit);; n += unit) {
    bool good = true;
    for (int64_t l = 0; l < levels; ++l) {
      const int64_t size = n >> l;
      good = good && 2 * window_for(size, window) >= std::min(size, window);
    }
    if (good) return n;
  }
}

}  // namespace

struct PdeTransformer::Level : Module {
  using Module::add_child;
  TokenGrid grid;
  std::vector<std::unique_ptr<PdetBlock>> down_blocks, up_blocks;
  std::unique_ptr<Linear> merge, split;  // to and from the next coarser level; null at the bottleneck

  Tensor to_coarse(const Tensor& x) const {
    const int64_t b = x.size(1), d = x.size(2);
    if (grid.size.size() == 1)
      return (*merge)(x.view({grid.size[0] / 2, 2, b, d}).transpose(1, 2).reshape({grid.size[0] / 2, b, 2 * d}));
    const int64_t h = grid.size[0] / 2, w = grid.size[1] / 2;
    return (*merge)(x.view({h, 2, w, 2, b, d}).permute({0, 2, 4, 1, 3, 5}).reshape({h * w, b, 4 * d}));
  }
  Tensor from_coarse(const Tensor& x, const Tensor& skip) const {
    const Tensor y = (*split)(x);
    const int64_t b = x.size(1), d = skip.size(2);
    if (grid.size.size() == 1) return y.view({grid.size[0] / 2, b, 2, d}).transpose(1, 2).reshape(skip.sizes()) + skip;
    const int64_t h = grid.size[0] / 2, w = grid.size[1] / 2;
    return y.view({h, w, b, 2, 2, d}).permute({0, 3, 1, 4, 2, 5}).reshape(skip.sizes()) + skip;
  }
};

PdeTransformer::~PdeTransformer() = default;

PdeTransformer::PdeTransformer(PdeTransformerConfig config) : config_(std::move(config)) {
  const auto& c = config_;
  const size_t axes = c.grid.size();
  assert((axes == 1 || axes == 2) && c.periodic.size() == axes && !c.depths.empty() && c.hidden % c.heads == 0);
  const int64_t levels = static_cast<int64_t>(c.depths.size());
  int64_t patch_cells = 1;
  for (size_t a = 0; a < axes; ++a) {
    const int64_t n = padded_tokens(c.grid[a], c.patch, levels, c.window);
    tokens_.size.push_back(n);
    tokens_.periodic.push_back(c.periodic[a]);
    padded_.push_back(n * c.patch);
    patch_cells *= c.patch;
  }
  sequences_ = c.separate_channels ? c.out_channels : 1;
  assert(c.in_channels % sequences_ == 0);
  bool open = false;
  for (bool p : c.periodic) open = open || !p;
  int64_t features = patch_cells * (c.in_channels / sequences_);
  if (open) {
    std::vector<Tensor> axes_coordinates;
    for (size_t a = 0; a < axes; ++a) {
      Tensor line = (at::arange(padded_[a], at::kFloat) + 0.5) / static_cast<double>(c.grid[a]) * 2.0 - 1.0;
      std::vector<int64_t> shape(axes, 1);
      shape[a] = padded_[a];
      axes_coordinates.push_back(line.view(shape).expand(padded_));
    }
    const Tensor field = at::stack(axes_coordinates, 0).unsqueeze(0).contiguous();  // [1, axes, X..]
    const int64_t n = static_cast<int64_t>(axes);
    Tensor t = axes == 1 ? field.view({1, n, tokens_.size[0], c.patch}).permute({2, 0, 1, 3})
                         : field.view({1, n, tokens_.size[0], c.patch, tokens_.size[1], c.patch}).permute({2, 4, 0, 1, 3, 5});
    coordinates_ = add_buffer("coordinates", t.reshape({tokens_.tokens(), 1, n * patch_cells}).contiguous());
    features += n * patch_cells;
  }
  embed_ = std::make_unique<Linear>(features, c.hidden, c.seed, "embed", Role::input);
  add_child("embed", *embed_);
  if (sequences_ > 1)
    channel_embedding_ = add_parameter("channel_embedding", normal_init({sequences_, c.hidden}, 0.02, c.seed, "channel_embedding"), Role::embedding);
  if (c.conditioned()) {
    condition_ = std::make_unique<ConditionEmbedding>(c.hidden, c.condition_dt, c.parameters, c.boundary_kinds, c.condition_tau, c.seed);
    add_child("condition", *condition_);
  }
  TokenGrid grid = tokens_;
  for (int64_t l = 0; l < levels; ++l) {
    auto level = std::make_unique<Level>();
    level->grid = grid;
    const std::string key = "levels." + std::to_string(l);
    const auto blocks = [&](std::vector<std::unique_ptr<PdetBlock>>& list, const std::string& side) {
      for (int64_t j = 0; j < c.depths[static_cast<size_t>(l)]; ++j) {
        const std::string name = side + "." + std::to_string(j);
        list.push_back(std::make_unique<PdetBlock>(c, grid, l == 0, j, sequences_, key + "." + name));
        level->add_child(name, *list.back());
      }
    };
    blocks(level->down_blocks, "down");
    if (l + 1 < levels) {
      const int64_t children = axes == 1 ? 2 : 4;
      level->merge = std::make_unique<Linear>(children * c.hidden, c.hidden, c.seed, key + ".merge");
      level->split = std::make_unique<Linear>(c.hidden, children * c.hidden, c.seed, key + ".split");
      level->add_child("merge", *level->merge);
      level->add_child("split", *level->split);
      blocks(level->up_blocks, "up");
      for (auto& n : grid.size) n /= 2;
    }
    add_child(key, *level);
    levels_.push_back(std::move(level));
  }
  head_in_ = std::make_unique<Linear>(c.hidden, 2 * c.hidden, c.seed, "head.0", Role::hidden);
  head_out_ = std::make_unique<Linear>(2 * c.hidden, patch_cells * (c.out_channels / sequences_), c.seed, "head.2", Role::output, 0.0);
  if (c.linear_path) {
    assert(c.in_channels == c.out_channels);
    const int64_t every = *std::max_element(c.grid.begin(), c.grid.end()) / 2;
    linear_path_ = std::make_unique<SpectralConv>(c.in_channels, TokenGrid{c.grid, c.periodic}, every, c.seed, "linear_path", 0.0, Role::embedding);
    add_child("linear_path", *linear_path_);
  }
  add_child("head.0", *head_in_);
  add_child("head.2", *head_out_);
}

Tensor PdeTransformer::embed(const Tensor& input) const {
  Tensor x = input;
  const int64_t batch = x.size(0), channels = x.size(1), p = config_.patch;
  for (size_t a = 0; a < padded_.size(); ++a) {
    const int64_t dim = static_cast<int64_t>(a) + 2, extra = padded_[a] - config_.grid[a];
    if (extra == 0) continue;
    x = config_.periodic[a] ? at::cat({x, x.narrow(dim, 0, extra)}, dim)
                            : at::cat({x, x.narrow(dim, config_.grid[a] - 1, 1).expand([&] {
                                std::vector<int64_t> s(x.sizes().begin(), x.sizes().end());
                                s[static_cast<size_t>(dim)] = extra;
                                return s;
                              }())},
                                      dim);
  }
  // Input channels are [k, C]: with separate channels, sequence c takes its k values.
  const int64_t per = channels / sequences_, rows = batch * sequences_, n = tokens_.tokens();
  if (sequences_ > 1) {
    std::vector<int64_t> shape{batch, per, sequences_};
    shape.insert(shape.end(), padded_.begin(), padded_.end());
    x = x.reshape(shape).transpose(1, 2);
  }
  Tensor t = padded_.size() == 1
                 ? x.reshape({rows, per, tokens_.size[0], p}).permute({2, 0, 1, 3})
                 : x.reshape({rows, per, tokens_.size[0], p, tokens_.size[1], p}).permute({2, 4, 0, 1, 3, 5});
  t = t.reshape({n, rows, -1});
  if (coordinates_.defined()) t = at::cat({t, coordinates_.expand({n, rows, coordinates_.size(2)})}, -1);
  Tensor y = (*embed_)(t);
  if (channel_embedding_.defined())
    y = (y.view({n, batch, sequences_, -1}) + channel_embedding_).view({n, rows, -1});
  return y;
}

Tensor PdeTransformer::unembed(const Tensor& tokens, int64_t batch) const {
  const int64_t p = config_.patch, per = config_.out_channels / sequences_, rows = batch * sequences_;
  std::vector<int64_t> shape{batch, config_.out_channels};
  shape.insert(shape.end(), padded_.begin(), padded_.end());
  Tensor y;
  if (padded_.size() == 1) {
    y = tokens.view({tokens_.size[0], rows, per, p}).permute({1, 2, 0, 3}).reshape(shape);
  } else {
    y = tokens.view({tokens_.size[0], tokens_.size[1], rows, per, p, p}).permute({2, 3, 0, 4, 1, 5}).reshape(shape);
  }
  for (size_t a = 0; a < padded_.size(); ++a)
    if (padded_[a] != config_.grid[a]) y = y.narrow(static_cast<int64_t>(a) + 2, 0, config_.grid[a]);
  return y;
}

Tensor PdeTransformer::forward(const Tensor& x, const Condition& condition) {
  const int64_t batch = x.size(0);
  Tensor c;
  if (condition_) c = (*condition_)(condition, batch, x.options());
  if (c.defined() && sequences_ > 1) c = c.repeat_interleave(sequences_, 0);
  Tensor t = embed(x);
  std::vector<Tensor> skips;
  for (auto& level : levels_) {
    for (auto& block : level->down_blocks) t = (*block)(t, c);
    if (level->merge) {
      skips.push_back(t);
      t = level->to_coarse(t);
    }
  }
  for (size_t l = levels_.size() - 1; l-- > 0;) {
    t = levels_[l]->from_coarse(t, skips[l]);
    for (auto& block : levels_[l]->up_blocks) t = (*block)(t, c);
  }
  if (config_.normalise) t = at::layer_norm(t, {t.size(2)}, {}, {}, 1e-5);
  // fp32 from here: what the head emits is far below one bf16 step of the state (stages.md 9).
  const AutocastGuard full_precision(x.device().type(), false, at::kFloat);
  Tensor y = unembed((*head_out_)(fused::gelu((*head_in_)(t.to(head_in_->weight.scalar_type())))), batch);
  if (linear_path_) {
    const Tensor cells = probed("linear_path", (*linear_path_)(x.flatten(2).permute({2, 0, 1}).contiguous()));  // [cells, B, C]
    y = y + cells.permute({1, 2, 0}).reshape(y.sizes());
  }
  return y.to(x.scalar_type());
}

}  // namespace ups::models
