#include "ups/optim/orth_host.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "ups/core/error.h"
#include "ups/optim/blas.h"
#include "ups/optim/host_kernels.h"
#include "ups/optim/orth_tri.h"

namespace ups::optim::host {
namespace {

// Heights of the row blocks of a symmetric product: a function of m alone, so results do not depend on machine load or threads.
int64_t block_rows(int64_t m) { return m <= 128 ? (m + 1) / 2 : m <= 384 ? (m + 2) / 3 : (m + 3) / 4; }

// Symmetric iteration matrices are m x m, X is A x B; `tall` means A > B, where every product acts on the right.
template <class T>
class Iteration {
 public:
  Iteration(int64_t rows, int64_t columns, bool triangles)
      : m_(std::min(rows, columns)), n_(std::max(rows, columns)), tall_(rows > columns), triangles_(triangles) {}

  // out = X X^T (or X^T X), symmetric.
  void gram(const T* x, T* out) const {
    for_row_blocks([&](int64_t r0, int64_t r1, int64_t width) {
      if (tall_) gemm(true, false, r1 - r0, width, n_, T(1), x + r0, m_, x, m_, T(0), out + r0 * m_, m_);
      else gemm(false, true, r1 - r0, width, n_, T(1), x + r0 * n_, n_, x, n_, T(0), out + r0 * m_, m_);
    });
    mirror(out);
  }

  // out = alpha P R + beta out for symmetric commuting P, R: the product is symmetric.
  void multiply(const T* p, const T* r, T* out, T alpha = 1, T beta = 0) const {
    for_row_blocks([&](int64_t r0, int64_t r1, int64_t width) {
      gemm(false, false, r1 - r0, width, m_, alpha, p + r0 * m_, m_, r, m_, beta, out + r0 * m_, m_);
    });
    mirror(out);
  }

  // p = aI + bR + cR^2.
  void polynomial(const std::array<double, 3>& coefficients, const T* r, T* p) const {
    const T a = static_cast<T>(coefficients[0]), b = static_cast<T>(coefficients[1]), c = static_cast<T>(coefficients[2]);
    std::memcpy(p, r, static_cast<size_t>(m_ * m_) * sizeof(T));
    if (c != 0) multiply(r, r, p, c, b);
    else host::scale(p, m_ * m_, b);
    for (int64_t i = 0; i < m_; ++i) p[i * (m_ + 1)] += a;
  }

  // out = P X (or X P).
  void apply(const T* p, const T* x, T* out) const {
    if (tall_) gemm(false, false, n_, m_, m_, T(1), x, m_, p, m_, T(0), out, m_);
    else gemm(false, false, m_, n_, m_, T(1), p, m_, x, n_, T(0), out, n_);
  }

  int64_t square() const { return m_ * m_; }

 private:
  template <class F>
  void for_row_blocks(F&& f) const {
    if (!triangles_) return f(0, m_, m_);
    const int64_t height = block_rows(m_);
    for (int64_t r = 0; r < m_; r += height) f(r, std::min(m_, r + height), std::min(m_, r + height));
  }

  // Lower blocks to upper ones.
  void mirror(T* out) const {
    if (!triangles_) return;
    const int64_t height = block_rows(m_);
    constexpr int64_t kTile = 16;
    for (int64_t i0 = height; i0 < m_; i0 += kTile)
      for (int64_t j0 = 0; j0 < i0 + kTile && j0 < m_; j0 += kTile)
        for (int64_t i = i0; i < std::min(m_, i0 + kTile); ++i) {
          const int64_t stop = std::min(j0 + kTile, i / height * height);  // columns left of i's diagonal block
          for (int64_t j = j0; j < stop; ++j) out[j * m_ + i] = out[i * m_ + j];
        }
  }

  int64_t m_, n_;
  bool tall_, triangles_;
};

template <class T>
T* run_plain(T* x, T* spare, T* workspace, const Iteration<T>& it, const NsSchedule& schedule) {
  T *r = workspace, *p = workspace + it.square();
  for (const auto& step : schedule.steps) {
    it.gram(x, r);
    it.polynomial(step, r, p);
    it.apply(p, x, spare);
    std::swap(x, spare);
  }
  return x;
}

// R = X X^T, Q = I; per step P = aI + bR + cR^2, Q <- QP, R <- PRP; X <- QX at the restart after step 2 and at the end. The restart
// bounds the rounding of R against X.
template <class T>
T* run_gram(T* x, T* spare, T* workspace, const Iteration<T>& it, const NsSchedule& schedule) {
  constexpr size_t kRestart = 2;
  T *r = workspace, *p = r + it.square(), *q = p + it.square(), *t = q + it.square();
  const size_t count = schedule.steps.size();
  it.gram(x, r);
  bool identity = true;
  for (size_t i = 0; i < count; ++i) {
    it.polynomial(schedule.steps[i], r, p);
    const bool leave = i + 1 == count || i + 1 == kRestart;
    if (!leave) {  // R <- P R P
      it.multiply(p, r, t);
      it.multiply(t, p, r);
    }
    if (identity) {
      std::swap(p, q);
    } else {
      it.multiply(q, p, t);
      std::swap(q, t);
    }
    identity = false;
    if (leave) {
      it.apply(q, x, spare);
      std::swap(x, spare);
      if (i + 1 < count) it.gram(x, r);
      identity = true;
    }
  }
  return x;
}

OrthVariant resolve(int64_t rows, int64_t columns, OrthVariant variant) {
  return variant == OrthVariant::automatic ? orth_variant(rows, columns) : variant;
}

// Scales x to the norm from which the schedule starts. False: the result is zero, and x is that.
template <class T>
bool start(T* x, int64_t n, double sum_squares, const NsSchedule& schedule, EpsMode eps) {
  const double divisor = norm_divisor(std::sqrt(sum_squares), schedule, eps);
  if (divisor > 0) normalise(x, n, 1 / divisor);
  else std::fill_n(x, n, T(0));
  return divisor > 0;
}

template <class T>
T* orthogonalize_blas(T* x, int64_t rows, int64_t columns, const NsSchedule& schedule, OrthVariant variant, T* workspace) {
  const Iteration<T> it(rows, columns, variant != OrthVariant::standard);
  T *spare = workspace, *rest = workspace + rows * columns;
  return variant == OrthVariant::gram ? run_gram(x, spare, rest, it, schedule) : run_plain(x, spare, rest, it, schedule);
}

}  // namespace

bool orth_bf16() { return tri_gemm_bf16() != nullptr; }

int64_t orth_workspace(int64_t rows, int64_t columns, OrthVariant variant) {
  return tri_workspace(rows, columns, resolve(rows, columns, variant));
}

float* orthogonalize(float* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                     OrthVariant variant, float* workspace, OrthMath math) {
  if (!start(x, rows * columns, sum_squares, schedule, eps)) return x;
  if (math == OrthMath::bf16 && std::min(rows, columns) >= kBf16Side) {
    if (variant == OrthVariant::automatic) variant = orth_variant_bf16(rows, columns);
    return iterate(bf16_products(variant), x, rows, columns, schedule, variant, workspace);
  }
  variant = resolve(rows, columns, variant);
  if (math == OrthMath::blas) return orthogonalize_blas(x, rows, columns, schedule, variant, workspace);
  return iterate({tri_gemm(), tri_gemm()}, x, rows, columns, schedule, variant, workspace);
}

double* orthogonalize(double* x, int64_t rows, int64_t columns, double sum_squares, const NsSchedule& schedule, EpsMode eps,
                      OrthVariant variant, double* workspace) {
  if (!start(x, rows * columns, sum_squares, schedule, eps)) return x;
  return orthogonalize_blas(x, rows, columns, schedule, resolve(rows, columns, variant), workspace);
}

namespace {

template <class T, class... Math>
at::Tensor run_tensor(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, OrthVariant variant, Math... math) {
  at::Tensor x = u.detach().clone(at::MemoryFormat::Contiguous);
  const int64_t rows = u.size(0), columns = u.size(1), n = rows * columns;
  if (n == 0) return x;
  std::vector<T> workspace(static_cast<size_t>(orth_workspace(rows, columns, variant)));
  T* data = x.mutable_data_ptr<T>();
  const double sum = scale_sum_squares(data, n, T(1), false);
  const T* result = orthogonalize(data, rows, columns, sum, schedule, eps, variant, workspace.data(), math...);
  if (result != data) std::copy_n(result, n, data);
  return x;
}

}  // namespace

at::Tensor orthogonalize(const at::Tensor& u, const NsSchedule& schedule, EpsMode eps, OrthVariant variant, OrthMath math) {
  return u.scalar_type() == at::kDouble ? run_tensor<double>(u, schedule, eps, variant)
                                        : run_tensor<float>(u, schedule, eps, variant, math);
}

}  // namespace ups::optim::host
