// The orthogonalizer on plain CPU memory (float or double): one matrix, one thread, caller's workspace.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ups/optim/orthogonalize.h"

namespace ups::optim::host {

// Numbers of T that orthogonalize() needs for an A x B matrix.
int64_t orth_workspace(int64_t rows, int64_t columns, OrthVariant variant);

// x: row-major A x B with sum of squares `sum_squares`, destroyed. Returns where the result is: x or a part of the workspace.
float* orthogonalize(float* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                     OrthVariant variant, float* workspace);
double* orthogonalize(double* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                      OrthVariant variant, double* workspace);

// The same for a tensor [A, B] of fp32 or fp64; copies.
at::Tensor orthogonalize(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, OrthVariant variant);

}  // namespace ups::optim::host
