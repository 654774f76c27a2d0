// Convolutions on grids of one or two axes, [B, C, X(, Y)].
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "ups/models/module.h"

namespace ups::models {

// `before` and `after` cells along dim: from the other end where periodic, else zeros.
Tensor pad_axis(const Tensor& x, int64_t dim, int64_t before, int64_t after, bool periodic);

// [first, second, taps(, taps)].
std::vector<int64_t> kernel_shape(int64_t first, int64_t second, int64_t taps, size_t axes);

// Kernel [out, in, taps(, taps)] that copies channel i to channel i; taps odd. Where out < in the last channels are dropped, where
// out > in the others start uniformly within 1 / sqrt(in taps^axes).
Tensor identity_kernel(int64_t out, int64_t in, int64_t taps, size_t axes, uint64_t seed, const std::string& name);

// A convolution that keeps the grid, circular along periodic axes, or one of stride 2 that halves it.
class GridConv : public Module {
 public:
  GridConv(Tensor kernel, std::vector<bool> periodic, Role role = Role::hidden, int64_t stride = 1);
  Tensor operator()(const Tensor& x) const;
  // With another kernel of the same shape.
  Tensor apply(Tensor x, const Tensor& kernel) const;
  Tensor weight, bias;

 private:
  std::vector<bool> periodic_;
  int64_t stride_;
};

// Blocks of 2(x2) cells become channels, channel-major: [B, C, X, ..] -> [B, C 2^axes, X / 2, ..]; and back.
Tensor fold_cells(const Tensor& x);
Tensor unfold_cells(const Tensor& x);

}  // namespace ups::models
