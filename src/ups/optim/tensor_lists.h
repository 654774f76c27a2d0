// Small helpers shared by the passes over parameters.
#pragma once
#include <ATen/core/Tensor.h>

#include "ups/optim/param.h"

namespace ups::optim {

// fp32 or fp64 on the CPU, dense: the raw-pointer kernels can walk it.
inline bool host_dense(const at::Tensor& t) {
  return t.device().is_cpu() && (t.scalar_type() == at::kFloat || t.scalar_type() == at::kDouble) && t.layout() == at::kStrided &&
         t.is_non_overlapping_and_dense();
}

// The value of a 0-dim tensor that lives on the CPU, without the dispatcher.
inline double host_value(const at::Tensor& t) {
  return t.scalar_type() == at::kFloat ? static_cast<double>(*t.const_data_ptr<float>()) : *t.const_data_ptr<double>();
}

// True when the step is known on the host to be masked. On other devices the flag is honoured by selection.
inline bool host_masked(const at::Tensor& found_inf) {
  return found_inf.defined() && found_inf.device().is_cpu() && host_value(found_inf) == 1.0;
}

// Complex tensors as pairs [.., 2], others as they are.
at::Tensor real_view(const at::Tensor& t);
// The gradient of `parameter` as a real tensor with the dtype and memory layout of w, its real view; undefined if there is none. Copies
// only when the layouts differ. Sparse gradients throw Error (exit 1).
at::Tensor gradient_like(const at::Tensor& parameter, const at::Tensor& w);
// Throws Error (exit 1) for parameters that no optimizer here can update: integer, sparse, overlapping memory.
void check_trainable(const Param& p);

}  // namespace ups::optim
