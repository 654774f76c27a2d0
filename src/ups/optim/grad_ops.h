// Passes over all gradients: unscale, finite flag, norm. No result is read on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include "ups/optim/param.h"

namespace ups::optim {

struct GradPass {
  at::Tensor norm;       // 0-dim fp64: 2-norm over all defined gradients, unscaled, before clipping. inf or NaN as the gradients are
  at::Tensor found_inf;  // 0-dim fp32: 1 if any entry is not finite, else 0
  at::Tensor norms;      // [N] fp64, on devices only: norm of every gradient in the order of the parameters that have one; undefined for mixed types
  double pending = 1;    // what the gradients are still to be multiplied by (grad_clip.h, multiply_on_read)
};

// Multiplies every gradient by inv_scale (0-dim fp32; undefined = leave as they are) in place. The norm is accumulated in double, so
// finite gradients up to 1e38 have a finite norm and do not set the flag.
GradPass unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale = {});
// The same into tensors of an earlier pass that nobody else holds: on the CPU nothing is allocated.
void unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale, GradPass& out);

// CPU only, one read: norm and flag of inv_scale * gradient, nothing is written, out.pending = inv_scale. False, and out untouched, when
// a gradient is not plain CPU memory (then unscale_and_norm).
bool read_gradients(const ParamList& params, double inv_scale, GradPass& out);

}  // namespace ups::optim
