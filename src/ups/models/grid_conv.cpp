#include "ups/models/grid_conv.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cassert>
#include <cmath>

namespace ups::models {

Tensor pad_axis(const Tensor& x, int64_t dim, int64_t before, int64_t after, bool periodic) {
  const int64_t n = x.size(dim);
  if (periodic) return at::cat({x.narrow(dim, n - before, before), x, x.narrow(dim, 0, after)}, dim);
  std::vector<int64_t> widths(static_cast<size_t>(2 * (x.dim() - 1 - dim)), 0);
  widths.insert(widths.end(), {before, after});
  return at::constant_pad_nd(x, widths);
}

std::vector<int64_t> kernel_shape(int64_t first, int64_t second, int64_t taps, size_t axes) {
  std::vector<int64_t> shape{first, second};
  shape.insert(shape.end(), axes, taps);
  return shape;
}

Tensor identity_kernel(int64_t out, int64_t in, int64_t taps, size_t axes, uint64_t seed, const std::string& name) {
  const double fan_in = static_cast<double>(in) * std::pow(static_cast<double>(taps), static_cast<double>(axes));
  Tensor kernel = uniform_init(kernel_shape(out, in, taps, axes), 1 / std::sqrt(fan_in), seed, name);
  kernel.narrow(0, 0, std::min(in, out)).zero_();
  Tensor centre = kernel.select(2, taps / 2);
  if (axes == 2) centre = centre.select(2, taps / 2);
  centre.diagonal().add_(1);
  return kernel;
}

GridConv::GridConv(Tensor kernel, std::vector<bool> periodic, Role role, int64_t stride) : periodic_(std::move(periodic)), stride_(stride) {
  assert(static_cast<size_t>(kernel.dim()) == periodic_.size() + 2);
  bias = at::zeros({kernel.size(0)});
  weight = add_parameter("weight", std::move(kernel), role);
  bias = add_parameter("bias", bias);
}

Tensor GridConv::operator()(const Tensor& x) const { return apply(x, weight); }

Tensor GridConv::apply(Tensor x, const Tensor& kernel) const {
  const int64_t reach = kernel.size(2) / 2;
  if (reach > 0)
    for (size_t a = 0; a < periodic_.size(); ++a) x = pad_axis(x, static_cast<int64_t>(a) + 2, reach, reach, periodic_[a]);
  return periodic_.size() == 1 ? at::conv1d(x, kernel, bias, stride_) : at::conv2d(x, kernel, bias, stride_);
}

Tensor fold_cells(const Tensor& x) {
  if (x.dim() == 4) return at::pixel_unshuffle(x, 2);
  const int64_t b = x.size(0), c = x.size(1), n = x.size(2);
  return x.reshape({b, c, n / 2, 2}).transpose(2, 3).reshape({b, 2 * c, n / 2});
}

Tensor unfold_cells(const Tensor& x) {
  if (x.dim() == 4) return at::pixel_shuffle(x, 2);
  const int64_t b = x.size(0), c = x.size(1) / 2, n = x.size(2);
  return x.reshape({b, c, 2, n}).transpose(2, 3).reshape({b, c, 2 * n});
}

}  // namespace ups::models
