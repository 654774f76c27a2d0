// Gradient clipping from the norm of a gradient pass. On devices nothing is read on the host.
#pragma once
#include <ATen/core/Tensor.h>

#include "ups/optim/grad_ops.h"
#include "ups/optim/optimizer.h"

namespace ups::optim {

// min(1, max_norm / (norm + 1e-6)); NaN stays NaN.
double clip_factor(double norm, double max_norm);

// Gradients *= min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ with error_if_nonfinite=False.
void clip_(const ParamList& params, const at::Tensor& norm, double max_norm);
void clip_(const ParamList& params, const at::Tensor& norm, const at::Tensor& max_norm);

// Instead of a pass that writes the gradients: the optimizer's next step multiplies by `factor` as it reads them. Factors too small for
// an ordinary float, and non-finite ones, are multiplied in place.
void multiply_on_read(Optimizer& optimizer, double factor);

// grad_clip: ema (PDE-Transformer). When the norm exceeds 2 x its slow average (.99), clip to 1.1 x its fast average (.9); else leave
// it. The averages start at the first accepted norm, take the norm after clipping and ignore masked steps.
class EmaClip {
 public:
  // Observes the pass; 0-dim fp64 on its device, what the gradients are to be multiplied by.
  at::Tensor coefficient(const GradPass& pass);
  void clip(const ParamList& params, const GradPass& pass);
  // fp64 [3]: fast, slow, count of accepted norms. A handle: load by copy_.
  const at::Tensor& state() const { return state_; }
  void load_state(const at::Tensor& state);

 private:
  at::Tensor state_;
};

}  // namespace ups::optim
