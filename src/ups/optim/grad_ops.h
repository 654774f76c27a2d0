// Passes over all gradients: unscale, finite flag, norm, clip. No result is read on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include "ups/optim/param.h"

namespace ups::optim {

struct GradPass {
  at::Tensor norm;       // 0-dim fp64: 2-norm over all defined gradients, unscaled, before clipping. inf or NaN as the gradients are
  at::Tensor found_inf;  // 0-dim fp32: 1 if any entry is not finite, else 0
};

// Multiplies every gradient by inv_scale (0-dim fp32; undefined = leave as they are) in place. The norm is accumulated in double, so
// finite gradients up to 1e38 have a finite norm and do not set the flag.
GradPass unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale = {});
// The same into tensors of an earlier pass that nobody else holds: on the CPU nothing is allocated.
void unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale, GradPass& out);

// CPU only, one read of the gradients: norm and flag of inv_scale * gradient, nothing is written. To be followed by
// Optimizer::set_grad_factor(inv_scale * clip_factor(norm, max_norm)) instead of clip_().
void read_gradients(const ParamList& params, double inv_scale, GradPass& out);
// min(1, max_norm / (norm + 1e-6)); NaN stays NaN.
double clip_factor(double norm, double max_norm);

// Gradients *= min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ with error_if_nonfinite=False.
void clip_(const ParamList& params, const at::Tensor& norm, double max_norm);
void clip_(const ParamList& params, const at::Tensor& norm, const at::Tensor& max_norm);

// grad_clip: ema (PDE-Transformer). When the norm exceeds 2 x its slow average (.99), clip to 1.1 x its fast average (.9); else leave
// it. The averages start at the first accepted norm, take the norm after clipping and ignore masked steps.
class EmaClip {
 public:
  void clip(const ParamList& params, const GradPass& pass);
  // fp64 [3]: fast, slow, count of accepted norms. A handle: load by copy_.
  const at::Tensor& state() const { return state_; }
  void load_state(const at::Tensor& state);

 private:
  at::Tensor state_;
};

}  // namespace ups::optim
