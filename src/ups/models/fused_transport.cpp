#include "ups/models/fused_transport.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/kernel_clones.h"

namespace ups::models::fused {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The two tokens around a position and the weight of the second.
struct Foot {
  int64_t first, second;
  float weight;
  bool inside;  // false where a wall stopped it
};

// Whole numbers decide what is read: whatever the weights hold (NaN included), indices stay inside.
UPS_CLONE_PART Foot foot_at(float position, int64_t n, bool wrap) {
  const float last = static_cast<float>(n - 1), far = 1e6f;
  float p = position > far ? far : position < -far ? -far : position;
  const bool inside = wrap || (p >= 0.0f && p <= last);
  if (!wrap) p = p < 0.0f ? 0.0f : p > last ? last : p;
  int i = static_cast<int>(p);
  i -= static_cast<float>(i) > p;
  int64_t a = i, b = a + 1;
  if (wrap && (a < 0 || b >= n)) {
    a %= n, b %= n;
    a += a < 0 ? n : 0, b += b < 0 ? n : 0;
  }
  return {a < 0 ? 0 : a >= n ? n - 1 : a, b < 0 ? 0 : b >= n ? n - 1 : b, p - static_cast<float>(i), inside};
}

// C: features per head when known at compile time (whole vectors), else 0.
template <int C>
UPS_CLONE_PART void add_values(const Lookup& s, const float* __restrict v, const float* __restrict d, float* __restrict y) {
  const int64_t c = C > 0 ? C : s.head_dim, groups = s.batch * s.heads, row = groups * c;
  for (int64_t iy = 0, ix = 0; iy < s.height; iy += ix + 1 == s.width, ix = ix + 1 == s.width ? 0 : ix + 1)
    for (int64_t group = 0; group < groups; ++group, d += s.axes, y += c) {
      const Foot x = foot_at(static_cast<float>(ix) + s.reach * d[s.axes - 1], s.width, s.wrap_x);
      const float w = x.weight;
      const float* at = v + group * c;
      if (s.axes == 1) {
        const float *a = at + x.first * row, *b = at + x.second * row;
        for (int64_t k = 0; k < c; ++k) y[k] += a[k] + w * (b[k] - a[k]);
      } else {
        const Foot z = foot_at(static_cast<float>(iy) + s.reach * d[0], s.height, s.wrap_y);
        const float *upper = at + z.first * s.width * row, *lower = at + z.second * s.width * row;
        for (int64_t k = 0; k < c; ++k) {
          const float u = upper[x.first * row + k], l = lower[x.first * row + k];
          const float top = u + w * (upper[x.second * row + k] - u), bottom = l + w * (lower[x.second * row + k] - l);
          y[k] += top + z.weight * (bottom - top);
        }
      }
    }
}

template <int C>
UPS_CLONE_PART void add_grads(const Lookup& s, const float* __restrict v, const float* __restrict d, const float* __restrict g,
                              float* __restrict dv, float* __restrict dd) {
  const int64_t c = C > 0 ? C : s.head_dim, groups = s.batch * s.heads, row = groups * c;
  for (int64_t iy = 0, ix = 0; iy < s.height; iy += ix + 1 == s.width, ix = ix + 1 == s.width ? 0 : ix + 1)
    for (int64_t group = 0; group < groups; ++group, d += s.axes, dd += s.axes, g += c) {
      const Foot x = foot_at(static_cast<float>(ix) + s.reach * d[s.axes - 1], s.width, s.wrap_x);
      const float w = x.weight;
      float along_x = 0, along_y = 0;
      if (s.axes == 1) {
        const int64_t a = x.first * row + group * c, b = x.second * row + group * c;
        for (int64_t k = 0; k < c; ++k) along_x += g[k] * (v[b + k] - v[a + k]);
        for (int64_t k = 0; k < c; ++k) dv[a + k] += (1 - w) * g[k];
        for (int64_t k = 0; k < c; ++k) dv[b + k] += w * g[k];
      } else {
        const Foot z = foot_at(static_cast<float>(iy) + s.reach * d[0], s.height, s.wrap_y);
        const int64_t upper = z.first * s.width * row + group * c, lower = z.second * s.width * row + group * c;
        const int64_t ua = upper + x.first * row, ub = upper + x.second * row, la = lower + x.first * row, lb = lower + x.second * row;
        for (int64_t k = 0; k < c; ++k) {
          const float du = v[ub + k] - v[ua + k], dl = v[lb + k] - v[la + k];
          along_x += g[k] * (du + z.weight * (dl - du));
          along_y += g[k] * (v[la + k] - v[ua + k] + w * (dl - du));
        }
        for (int64_t k = 0; k < c; ++k) dv[ua + k] += (1 - z.weight) * (1 - w) * g[k];
        for (int64_t k = 0; k < c; ++k) dv[ub + k] += (1 - z.weight) * w * g[k];
        for (int64_t k = 0; k < c; ++k) dv[la + k] += z.weight * (1 - w) * g[k];
        for (int64_t k = 0; k < c; ++k) dv[lb + k] += z.weight * w * g[k];
        dd[0] = z.inside ? s.reach * along_y : 0.0f;
      }
      dd[s.axes - 1] = x.inside ? s.reach * along_x : 0.0f;
    }
}

UPS_CLONES void lookup_forward(const Lookup& s, const float* v, const float* d, float* y) {
  switch (s.head_dim) {
    case 6: return add_values<6>(s, v, d, y);
    case 8: return add_values<8>(s, v, d, y);
    case 16: return add_values<16>(s, v, d, y);
    default: return add_values<0>(s, v, d, y);
  }
}
UPS_CLONES void lookup_backward(const Lookup& s, const float* v, const float* d, const float* g, float* dv, float* dd) {
  switch (s.head_dim) {
    case 6: return add_grads<6>(s, v, d, g, dv, dd);
    case 8: return add_grads<8>(s, v, d, g, dv, dd);
    case 16: return add_grads<16>(s, v, d, g, dv, dd);
    default: return add_grads<0>(s, v, d, g, dv, dd);
  }
}

struct Displaced : torch::autograd::Function<Displaced> {
  static Tensor forward(AutogradContext* ctx, const Tensor& v, const Tensor& d, std::vector<int64_t> size, std::vector<int64_t> wraps, double reach) {
    Tensor y = at::zeros_like(v);
    Lookup(v, d, grid_of(size, wraps), reach).add(v, d, y);
    ctx->save_for_backward({v, d});
    ctx->saved_data["size"] = std::move(size);
    ctx->saved_data["wraps"] = std::move(wraps);
    ctx->saved_data["reach"] = reach;
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &v = saved[0], &d = saved[1];
    Tensor dv = at::zeros_like(v), dd = at::empty_like(d);
    const TokenGrid grid = grid_of(ctx->saved_data["size"].toIntVector(), ctx->saved_data["wraps"].toIntVector());
    Lookup(v, d, grid, ctx->saved_data["reach"].toDouble()).add_gradients(v, d, grads[0].contiguous(), dv, dd);
    return {dv, dd, Tensor(), Tensor(), Tensor()};
  }
  static TokenGrid grid_of(const std::vector<int64_t>& size, const std::vector<int64_t>& wraps) { return {size, {wraps.begin(), wraps.end()}}; }
};

}  // namespace

Lookup::Lookup(const Tensor& v, const Tensor& d, const TokenGrid& grid, double reach_in)
    : height(grid.size.size() == 1 ? 1 : grid.size[0]),
      width(grid.size.back()),
      wrap_y(grid.periodic[0]),
      wrap_x(grid.periodic.back()),
      batch(v.size(1)),
      heads(d.size(2) / static_cast<int64_t>(grid.size.size())),
      head_dim(v.size(2) / heads),
      axes(static_cast<int64_t>(grid.size.size())),
      reach(static_cast<float>(reach_in)) {}

void Lookup::add(const Tensor& v, const Tensor& d, Tensor& y) const {
  lookup_forward(*this, v.const_data_ptr<float>(), d.const_data_ptr<float>(), y.data_ptr<float>());
}
void Lookup::add_gradients(const Tensor& v, const Tensor& d, const Tensor& g, Tensor& dv, Tensor& dd) const {
  lookup_backward(*this, v.const_data_ptr<float>(), d.const_data_ptr<float>(), g.const_data_ptr<float>(), dv.data_ptr<float>(), dd.data_ptr<float>());
}

Tensor displaced(const Tensor& v, const Tensor& displacement, const TokenGrid& grid, double reach) {
  return Displaced::apply(v.contiguous(), displacement.contiguous(), grid.size, std::vector<int64_t>(grid.periodic.begin(), grid.periodic.end()), reach);
}

}  // namespace ups::models::fused
