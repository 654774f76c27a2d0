// Rounding errors are pulled back by the polynomial only where every use of a matrix sees the same rounded numbers. So P = aI + bR + cR^2
// has its aI on the diagonal (added to the products instead, fp32 errors of the Gram form grow from 7e-6 to 3e-5), and in bf16 plain
// steps, which do add aX in fp32, round R and X themselves. Measured in bf16 on Gaussian matrices, error against fp64: R and X rounded
// 1.0-1.6 % (PyTorch's formula); only the factors of products rounded 1.7-4 %; Gram with all its squares in bf16 2-15 %; Gram with fp32
// squares and X rounded .3-.6 %, which is what bf16 uses here on wide rectangles.
#include "ups/optim/orth_tri.h"

#include <algorithm>
#include <array>
#include <utility>

#include "ups/optim/host_kernels.h"

namespace ups::optim::host {
namespace {

constexpr int64_t kLine = 16;  // floats of a cache line: packed panels start on one

class TriIteration {
 public:
  TriIteration(const OrthProducts& products, int64_t rows, int64_t columns, float* squares, float* scratch)
      : g_(products), rows_(rows), columns_(columns), m_(std::min(rows, columns)), scratch_(scratch) {
    for (float*& s : squares_) s = std::exchange(squares, squares + m_ * m_);
  }

  float* plain(float* x, float* spare, const NsSchedule& schedule) {
    auto [r, b] = std::pair(squares_[0], squares_[1]);
    for (const auto& step : schedule.steps) {
      gram_matrix(x, r);
      if (g_.low) round_bf16(r, m_ * m_);
      polynomial(step, r, b);
      const float a = static_cast<float>(step[0]);
      if (!g_.low) add_diagonal(b, a);
      g_.rectangles.apply(rows_, columns_, b, x, g_.low ? a : 0, spare, scratch_);
      std::swap(x, spare);
    }
    return x;
  }

  // R = X X^T, Q = I; per step P = aI + bR + cR^2, Q <- QP, R <- PRP; X <- QX at restarts and at the end.
  float* gram(float* x, float* spare, const NsSchedule& schedule) {
    auto [r, p, q, t] = squares_;
    const size_t count = schedule.steps.size();
    gram_matrix(x, r);
    double slope = 1;  // at 0, of the steps that are in Q
    bool identity = true;
    for (size_t i = 0; i < count; ++i) {
      polynomial(schedule.steps[i], r, p);
      add_diagonal(p, static_cast<float>(schedule.steps[i][0]));
      slope *= schedule.steps[i][0];
      const bool leave = i + 1 == count || restart(i + 1, slope * schedule.steps[i + 1][0]);
      if (!leave) {
        multiply(p, r, t);
        multiply(t, p, r);
      }
      if (identity) {
        std::swap(p, q);
      } else {
        multiply(q, p, t);
        std::swap(q, t);
      }
      identity = leave;
      if (leave) {
        apply_any(q, x, spare);
        std::swap(x, spare);
        slope = 1;
        if (i + 1 < count) gram_matrix(x, r);
      }
    }
    return x;
  }

 private:
  void add_diagonal(float* p, float a) const {
    for (int64_t k = 0; k < m_; ++k) p[k * (m_ + 1)] += a;
  }

  // A restart bounds the rounding of R against X, which grows with the square of the slope at 0. fp32 aims at 1e-5; in bf16 X has larger
  // errors of its own, and a restart adds one more.
  bool restart(size_t steps, double slope) const { return g_.low ? slope > 2000 : steps == static_cast<size_t>(kGramRestart); }

  void gram_matrix(float* x, float* r) const {
    if (g_.low) round_bf16(x, rows_ * columns_);
    g_.rectangles.gram(rows_, columns_, x, r, scratch_);
  }

  void multiply(const float* p, const float* r, float* out) const { g_.squares.multiply(m_, p, r, out, 1, nullptr, 0, scratch_); }

  // out = q x. In bf16 the mean of q's diagonal is taken out and added in fp32: it is larger than all around it. Changes q.
  void apply_any(float* q, const float* x, float* out) const {
    double mean = 0;
    if (g_.low) {
      for (int64_t k = 0; k < m_; ++k) mean += static_cast<double>(q[k * (m_ + 1)]);
      mean /= static_cast<double>(m_);
      add_diagonal(q, -static_cast<float>(mean));
    }
    g_.rectangles.apply(rows_, columns_, q, x, static_cast<float>(mean), out, scratch_);
  }

  // out = bR + cR^2
  void polynomial(const std::array<double, 3>& step, const float* r, float* out) const {
    const float b = static_cast<float>(step[1]), c = static_cast<float>(step[2]);
    if (c != 0) return g_.squares.multiply(m_, r, r, out, c, r, b, scratch_);
    std::copy_n(r, m_ * m_, out);
    host::scale(out, m_ * m_, b);
  }

  const OrthProducts& g_;
  int64_t rows_, columns_, m_;
  std::array<float*, 4> squares_{};
  float* scratch_;
};

int64_t square_count(OrthVariant variant) { return variant == OrthVariant::gram ? 4 : 2; }

}  // namespace

OrthProducts bf16_products(OrthVariant variant) {
  return {variant == OrthVariant::gram ? tri_gemm() : *tri_gemm_bf16(), *tri_gemm_bf16(), true};
}

OrthVariant orth_variant_bf16(int64_t rows, int64_t columns) {
  // With n = alpha m: five plain steps cost 7.5 alpha + 2.5 in m^3 fp32 multiply-adds, Gram 1.5 alpha + 17.
  const int64_t m = std::min(rows, columns), n = std::max(rows, columns);
  return 5 * n < 12 * m ? OrthVariant::symmetric : OrthVariant::gram;
}

int64_t tri_workspace(int64_t rows, int64_t columns, OrthVariant variant) {
  const int64_t m = std::min(rows, columns);
  const TriGemm* low = tri_gemm_bf16();
  return rows * columns + square_count(variant) * m * m + kLine + std::max(tri_gemm().scratch(m), low ? low->scratch(m) : 0);
}

float* iterate(const OrthProducts& products, float* x, int64_t rows, int64_t columns, const NsSchedule& schedule, OrthVariant variant,
               float* workspace) {
  const int64_t m = std::min(rows, columns);
  float *spare = workspace, *squares = spare + rows * columns, *end = squares + square_count(variant) * m * m;
  const auto past_line = static_cast<int64_t>(reinterpret_cast<uintptr_t>(end) / sizeof(float) % kLine);
  TriIteration it(products, rows, columns, squares, end + (kLine - past_line) % kLine);
  return variant == OrthVariant::gram ? it.gram(x, spare, schedule) : it.plain(x, spare, schedule);
}

}  // namespace ups::optim::host
