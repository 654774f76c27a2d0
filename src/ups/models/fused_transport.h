// The lookup of transport.h in one pass for the CPU (see fused_ops.h: fp32, outside autocast).
#pragma once
#include "ups/models/layers.h"

namespace ups::models::fused {

// ups::models::displaced(v, reach * displacement, grid).
at::Tensor displaced(const at::Tensor& v, const at::Tensor& displacement, const TokenGrid& grid, double reach);

// The same without autograd, for larger fused layers; all tensors contiguous.
struct Lookup {
  int64_t height, width;  // 1-D grids: height 1
  bool wrap_y, wrap_x;
  int64_t batch, heads, head_dim, axes;
  float reach;

  Lookup(const at::Tensor& v, const at::Tensor& displacement, const TokenGrid& grid, double reach);
  // y += the values read.
  void add(const at::Tensor& v, const at::Tensor& displacement, at::Tensor& y) const;
  // dv += the gradient of v; the gradient of the displacement is written.
  void add_gradients(const at::Tensor& v, const at::Tensor& displacement, const at::Tensor& g, at::Tensor& dv, at::Tensor& dd) const;
};

}  // namespace ups::models::fused
