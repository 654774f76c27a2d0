// The orthogonal factor of a matrix by a polynomial iteration, on any device and dtype through ATen; host form in orth_host.h.
#pragma once
#include <ATen/core/Tensor.h>

#include "ups/optim/ns_schedule.h"

namespace ups::optim {

// Guard of the division by the norm. Additive or clamped guards make tiny gradients degenerate; they exist to match other code.
enum class EpsMode { scale_free, kj, clamp };

// Which products the iteration uses (optim.md 4.3). All are equal in exact arithmetic.
enum class OrthVariant {
  automatic,  // a fixed function of the shape: orth_variant()
  standard,   // X X^T, A^2, P X
  symmetric,  // the same, only one triangle of the first two
  gram,       // square products on X X^T; rectangular ones only at restarts. Not for squares: rounding
};
OrthVariant orth_variant(int64_t rows, int64_t columns);

// Divisor of U: 0 stands for "the result is zero".
double norm_divisor(double frobenius, const NsSchedule& schedule, EpsMode eps);

// u: [A, B] or [batch, A, B]. The norm is taken in fp64 before the cast to `compute` (modes kj and clamp with bf16: after it, as the
// code they match); the result has u's dtype.
at::Tensor orthogonalize(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, at::ScalarType compute);

// U V^T in fp64, directions with sigma <= 1e-12 sigma_max dropped. Slow: tests and small problems.
at::Tensor polar_svd(const at::Tensor& u);

}  // namespace ups::optim
