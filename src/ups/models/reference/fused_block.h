// The reference block as one autograd node on hand-written CPU kernels: attention branch in one pass, MLP as two matrix products.
#pragma once
#include "ups/models/reference/block.h"

namespace ups::models::reference {

// True if fused_block can take x: fp32 on the CPU, no autocast, sizes within the kernels' bounds.
bool can_fuse(const Block& block, const Tensor& x);
// Same as block.plain(x) up to rounding; differentiable once.
Tensor fused_block(const Block& block, const Tensor& x);

}  // namespace ups::models::reference
