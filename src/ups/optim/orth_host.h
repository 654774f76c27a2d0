// The orthogonalizer on plain CPU memory (float or double): one matrix, one thread, caller's workspace.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>

#include "ups/optim/orthogonalize.h"

namespace ups::optim::host {

// Products of the iteration in fp32: our own kernels, the same with factors in bf16 for matrices of kBf16Side and more (smaller ones
// stay fp32), or LibTorch's BLAS, the slower reference of the tests. fp64 always goes through BLAS.
enum class OrthMath { own, bf16, blas };
constexpr int64_t kBf16Side = 64;
// Has this processor the instructions? Without them OrthMath::bf16 is not allowed.
bool orth_bf16();

// Numbers of T that orthogonalize() needs for an A x B matrix, for any math.
int64_t orth_workspace(int64_t rows, int64_t columns, OrthVariant variant);

// x: row-major A x B with sum of squares `sum_squares`, destroyed. Returns where the result is: x or a part of the workspace.
float* orthogonalize(float* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                     OrthVariant variant, float* workspace, OrthMath math = OrthMath::own);
double* orthogonalize(double* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                      OrthVariant variant, double* workspace);

// The same for a tensor [A, B] of fp32 or fp64; copies.
at::Tensor orthogonalize(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, OrthVariant variant,
                         OrthMath math = OrthMath::own);

}  // namespace ups::optim::host
