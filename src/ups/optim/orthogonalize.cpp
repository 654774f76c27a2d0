#include "ups/optim/orthogonalize.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>

namespace ups::optim {

OrthVariant orth_variant(int64_t rows, int64_t columns) {
  const int64_t m = std::min(rows, columns), n = std::max(rows, columns);
  if (m < 16 || (m < 48 && n < 2 * m)) return OrthVariant::standard;
  if (m < 48) return OrthVariant::gram;
  return 2 * n < 3 * m ? OrthVariant::symmetric : OrthVariant::gram;
}

double norm_divisor(double frobenius, const NsSchedule& schedule, EpsMode eps) {
  constexpr double kGuard = 1e-7;
  switch (eps) {
    case EpsMode::kj: return frobenius + kGuard;
    case EpsMode::clamp: return std::max(frobenius, kGuard);
    case EpsMode::scale_free: break;
  }
  return schedule.norm_scale * frobenius;
}

at::Tensor orthogonalize(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, at::ScalarType compute) {
  c10::NoGradGuard no_grad;
  if (u.numel() == 0) return u.clone();
  const bool single = u.dim() == 2;
  at::Tensor x = single ? u.unsqueeze(0) : u;
  const bool tall = x.size(1) > x.size(2);
  if (tall) x = x.transpose(1, 2);
  if (eps != EpsMode::scale_free && compute == at::kBFloat16) {
    // The code that these modes reproduce casts first and divides in bf16.
    x = x.to(compute);
    const at::Tensor norm = at::linalg_vector_norm(x, 2, at::IntArrayRef{1, 2}, true, at::kDouble).to(compute);
    x = at::div(x, eps == EpsMode::kj ? norm + 1e-7 : norm.clamp_min(1e-7)).contiguous();
  } else {
    const at::Tensor norm = at::linalg_vector_norm(x, 2, at::IntArrayRef{1, 2}, true, at::kDouble);
    at::Tensor factor;
    if (eps == EpsMode::scale_free) factor = at::where(norm.eq(0), norm, at::reciprocal(norm * schedule.norm_scale));
    else factor = at::reciprocal(eps == EpsMode::kj ? norm + 1e-7 : norm.clamp_min(1e-7));
    // Scale in double, then cast: a norm beyond the range of `compute` must not become inf or 0 on the way.
    x = (x * factor).to(compute).contiguous();
  }
  for (const auto& [a, b, c] : schedule.steps) {
    const at::Tensor gram = at::bmm(x, x.transpose(1, 2));
    const at::Tensor p = c == 0 ? gram * b : at::baddbmm(gram, gram, gram, b, c);
    x = at::baddbmm(x, p, x, a, 1);
  }
  x = x.to(u.scalar_type());
  if (tall) x = x.transpose(1, 2);
  return (single ? x.squeeze(0) : x).contiguous();
}

at::Tensor polar_svd(const at::Tensor& u) {
  c10::NoGradGuard no_grad;
  if (u.numel() == 0) return u.clone();
  const auto [left, sigma, right] = at::linalg_svd(u.to(at::kDouble), false);
  const at::Tensor keep = sigma.gt(sigma.amax(-1, true) * 1e-12).to(at::kDouble);
  return at::matmul(left * keep.unsqueeze(-2), right).to(u.scalar_type());
}

}  // namespace ups::optim
