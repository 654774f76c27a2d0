// One residual layer of local mixing on 1-D grids for the CPU (see fused_ops.h: fp32, outside autocast):
//   x + gelu( conv3(x) + spectral(x) + lookup(value(x), displacement(x)) + other )
// in a single autograd node: every branch adds into one buffer, forward and backward. The plain twin is the layer's own sum of modules.
#pragma once
#include "ups/models/fused_transport.h"
#include "ups/models/real_dft.h"

namespace ups::models::fused {

// Borrowed tensors of the branches; spectral and value may be undefined: no such branch.
struct MixingBranches {
  TokenGrid grid;
  at::Tensor conv_weight, conv_bias;                  // [D, 3 D] taps -1, 0, +1; [D]
  at::Tensor spectral;                                // [K, D, 2 D]
  const RealDft* dft = nullptr;                       // of spectral; outlives the call only
  at::Tensor value_weight, value_bias;                // [D, D], [D]
  at::Tensor displacement_weight, displacement_bias;  // [H, D], [H]
  double reach = 1;
};

// x [N, B, D]; other like x (what attention adds), or undefined.
at::Tensor mixing_layer1d(const at::Tensor& x, const MixingBranches& branches, const at::Tensor& other);

}  // namespace ups::models::fused
