#include "ups/models/window_attention.h"

#include <ATen/ATen.h>

#include <cmath>

#include "ups/models/fused_ops.h"
#include "ups/models/window_kernel.h"

namespace ups::models {
namespace {

constexpr int64_t kBiasHidden = 32;

// Splits [N, B, F] into windows: [windows * B, tokens per window, F].
Tensor to_windows(const Tensor& x, const TokenGrid& grid, const std::vector<int64_t>& window) {
  const int64_t batch = x.size(1), features = x.size(2);
  if (grid.size.size() == 1) {
    const int64_t w = window[0], n = grid.size[0] / w;
    return x.view({n, w, batch, features}).permute({0, 2, 1, 3}).reshape({n * batch, w, features});
  }
  const int64_t wy = window[0], wx = window[1], ny = grid.size[0] / wy, nx = grid.size[1] / wx;
  return x.view({ny, wy, nx, wx, batch, features}).permute({0, 2, 4, 1, 3, 5}).reshape({ny * nx * batch, wy * wx, features});
}

Tensor from_windows(const Tensor& y, const TokenGrid& grid, const std::vector<int64_t>& window, int64_t batch) {
  const int64_t features = y.size(2);
  if (grid.size.size() == 1) {
    const int64_t w = window[0], n = grid.size[0] / w;
    return y.view({n, batch, w, features}).permute({0, 2, 1, 3}).reshape({grid.size[0], batch, features});
  }
  const int64_t wy = window[0], wx = window[1], ny = grid.size[0] / wy, nx = grid.size[1] / wx;
  return y.view({ny, nx, batch, wy, wx, features}).permute({0, 3, 1, 4, 2, 5}).reshape({grid.tokens(), batch, features});
}

Tensor rolled(const Tensor& x, const TokenGrid& grid, const std::vector<int64_t>& shift, int64_t sign) {
  bool any = false;
  for (int64_t s : shift) any = any || s != 0;
  if (!any) return x;
  if (grid.size.size() == 1) return at::roll(x, {sign * shift[0]}, {0});
  return at::roll(x.view({grid.size[0], grid.size[1], x.size(1), x.size(2)}), {sign * shift[0], sign * shift[1]}, {0, 1})
      .view(x.sizes());
}

// After the roll the last window of a non-periodic axis holds tokens of both ends: label them apart.
std::vector<int64_t> axis_labels(int64_t n, int64_t window, int64_t shift, bool periodic) {
  std::vector<int64_t> label(static_cast<size_t>(n), 0);
  if (periodic || shift == 0) return label;
  for (int64_t i = n - shift; i < n; ++i) label[static_cast<size_t>(i)] = 1;  // wrapped from the start
  (void)window;
  return label;
}

}  // namespace

WindowAttention::WindowAttention(int64_t dim, int64_t heads, TokenGrid grid, int64_t window, bool shifted, uint64_t seed,
                                 const std::string& key)
    : grid_(std::move(grid)),
      heads_(heads),
      head_dim_(dim / heads),
      qkv_(dim, 3 * dim, seed, key + ".qkv"),
      out_(dim, dim, seed, key + ".out"),
      bias_in_(static_cast<int64_t>(grid_.size.size()), kBiasHidden, seed, key + ".bias_in", Role::embedding),
      bias_out_(kBiasHidden, heads, seed, key + ".bias_out", Role::embedding, 0.1) {
  add_child("qkv", qkv_);
  add_child("out", out_);
  add_child("position.0", bias_in_);
  add_child("position.2", bias_out_);
  logit_scale_ = add_parameter("logit_scale", at::full({heads}, std::log(10.0), at::kFloat));
  const size_t axes = grid_.size.size();
  for (size_t a = 0; a < axes; ++a) {
    window_.push_back(window_for(grid_.size[a], window));
    shift_.push_back(shifted && window_[a] < grid_.size[a] ? window_[a] / 2 : 0);
  }
  // Relative offsets, log-spaced as in Swin V2: sign(d) log2(1 + 8 |d| / (w - 1)) / 3, one row per distinct pair of offsets.
  const int64_t wy = axes == 2 ? window_[0] : 1, wx = window_[axes - 1], tokens = wy * wx;
  const auto spaced = [](int64_t d, int64_t w) {
    const double r = w > 1 ? 8.0 * static_cast<double>(d) / static_cast<double>(w - 1) : 0.0;
    return std::copysign(std::log2(1.0 + std::abs(r)) / 3.0, r);
  };
  Tensor offsets = at::empty({(2 * wy - 1) * (2 * wx - 1), static_cast<int64_t>(axes)}, at::kFloat);
  float* o = offsets.data_ptr<float>();
  for (int64_t dy = 1 - wy; dy < wy; ++dy) {
    for (int64_t dx = 1 - wx; dx < wx; ++dx) {
      if (axes == 2) *o++ = static_cast<float>(spaced(dy, wy));
      *o++ = static_cast<float>(spaced(dx, wx));
    }
  }
  offsets_ = add_buffer("offsets", offsets);
  Tensor index = at::empty({tokens * tokens}, at::kLong);
  int64_t* ix = index.data_ptr<int64_t>();
  for (int64_t i = 0; i < tokens; ++i)
    for (int64_t j = 0; j < tokens; ++j)
      *ix++ = (i / wx - j / wx + wy - 1) * (2 * wx - 1) + (i % wx - j % wx + wx - 1);
  offset_index_ = add_buffer("offset_index", index);
  // Mask of pairs that a non-periodic shift would join.
  bool cut = false;
  for (size_t a = 0; a < axes; ++a) cut = cut || (shift_[a] != 0 && !grid_.periodic[a]);
  if (cut) {
    const auto ly = axes == 2 ? axis_labels(grid_.size[0], wy, shift_[0], grid_.periodic[0]) : std::vector<int64_t>{0};
    const auto lx = axis_labels(grid_.size[axes - 1], wx, shift_[axes - 1], grid_.periodic[axes - 1]);
    const int64_t ny = axes == 2 ? grid_.size[0] / wy : 1, nx = grid_.size[axes - 1] / wx;
    Tensor mask = at::zeros({ny * nx, tokens, tokens}, at::kFloat);
    auto m = mask.accessor<float, 3>();
    for (int64_t w = 0; w < ny * nx; ++w) {
      const auto label = [&](int64_t t) {
        return 2 * ly[static_cast<size_t>((w / nx) * wy + t / wx)] + lx[static_cast<size_t>((w % nx) * wx + t % wx)];
      };
      for (int64_t i = 0; i < tokens; ++i)
        for (int64_t j = 0; j < tokens; ++j)
          if (label(i) != label(j)) m[w][i][j] = -1e9f;
    }
    mask_ = add_buffer("mask", mask);
  }
}

Tensor WindowAttention::bias_table() const {
  const int64_t tokens = offset_index_.numel();
  const Tensor table = bias_out_(at::relu(bias_in_(offsets_)));  // [R, heads]
  const int64_t w = static_cast<int64_t>(std::llround(std::sqrt(static_cast<double>(tokens))));
  return at::index_select(table, 0, offset_index_).view({w, w, heads_}).permute({2, 0, 1});
}

Tensor WindowAttention::operator()(const Tensor& x) const {
  const int64_t batch = x.size(1), dim = x.size(2);
  const Tensor windows = to_windows(rolled(qkv_(x), grid_, shift_, -1), grid_, window_);  // [n B, W, 3D]
  const int64_t rows = windows.size(0), w = windows.size(1);
  if (fused::enabled(windows)) {
    const Tensor y = fused::window_attention(windows.view({rows, w, 3, heads_, head_dim_}), logit_scale_.clamp_max(std::log(100.0)).exp(),
                                             bias_table(), mask_);
    return out_(rolled(from_windows(y, grid_, window_, batch), grid_, shift_, 1));
  }
  const auto qkv = windows.view({rows, w, 3, heads_, head_dim_}).permute({2, 0, 3, 1, 4}).unbind(0);  // [n B, heads, W, dh]
  const auto unit = [](const Tensor& t) { return t / t.norm(2, -1, true).clamp_min(1e-6); };
  const Tensor scale = logit_scale_.clamp_max(std::log(100.0)).exp().view({1, heads_, 1, 1});
  Tensor logits = at::matmul(unit(qkv[0]) * scale, unit(qkv[1]).transpose(-2, -1)).to(x.scalar_type()) + bias_table().unsqueeze(0);
  if (mask_.defined()) {
    const int64_t n = mask_.size(0);
    logits = (logits.view({n, batch, heads_, w, w}) + mask_.view({n, 1, 1, w, w})).view({rows, heads_, w, w});
  }
  const Tensor y = at::matmul(at::softmax(logits, -1), qkv[2]);  // [n B, heads, W, dh]
  const Tensor merged = y.permute({0, 2, 1, 3}).reshape({rows, w, dim});
  return out_(rolled(from_windows(merged, grid_, window_, batch), grid_, shift_, 1));
}

}  // namespace ups::models
