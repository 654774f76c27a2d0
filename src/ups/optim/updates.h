// The rules of optim.md 2 as pure functions: factors and update steps, no state and no grouping.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>

#include "ups/optim/host_kernels.h"

namespace ups::optim {

enum class ScaleMode { match_rms, original, spectral, none, kj_compat };
// Accepts every spelling of the key muon_scale_mode.
ScaleMode parse_scale_mode(const std::string& name);
// k of the mode when muon_scale is not given: PyTorch's and Moonlight's 0.2 where the mode aims at AdamW's update RMS.
double default_scale(ScaleMode mode);
// c(A, B) of an A x B matrix. shape: of the parameter before flattening, for kj_compat.
double muon_factor(ScaleMode mode, double scale, int64_t rows, int64_t columns, at::IntArrayRef shape);

// What one AdamW or Adam step needs for a parameter whose counter becomes t.
host::AdamScalars adam_scalars(double lr, double beta1, double beta2, double eps, double weight_decay, bool decoupled, double t);

// SGD on tensors of any device: returns the step direction d (W <- W - lr*d); `buffer` (undefined without momentum) is not written,
// its next value goes to next_buffer. steps: 0-dim count of earlier steps, needed for dampening != 0.
struct SgdRule {
  double momentum = 0, dampening = 0, weight_decay = 0;
  bool nesterov = false;
};
at::Tensor sgd_direction(const SgdRule& rule, const at::Tensor& w, const at::Tensor& g, const at::Tensor& buffer, const at::Tensor& steps,
                         at::Tensor& next_buffer);

}  // namespace ups::optim
