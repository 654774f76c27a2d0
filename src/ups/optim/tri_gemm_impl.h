// Implementation of tri_gemm.h for one instruction set. The including file defines UPS_TRI_ISA (namespace), UPS_TRI_NAME,
// UPS_TRI_BYTES (vector size), UPS_TRI_ROWS and UPS_TRI_VECTORS (tile: rows x vectors; a panel is that many vectors wide and a multiple
// of the rows) and is compiled with the matching flags. No standard library header may appear here: its inline functions would be
// compiled with those flags too, and the linker could keep that copy for all callers.
//
// Scheme: factors are copied into panels, [k][NR] for every NR rows or columns, so that one tile of the result reads two streams. A
// tile of MR rows takes its left factor from a part of a panel: a symmetric product needs one copy of its operand, not two.
#pragma once
#include "ups/optim/tri_gemm.h"

#define UPS_TRI_INLINE inline __attribute__((always_inline))

namespace ups::optim::host::UPS_TRI_ISA {

#include "ups/optim/tri_gemm_vec.h"

constexpr int MR = UPS_TRI_ROWS, NV = UPS_TRI_VECTORS, NR = NV * VW;
static_assert(NR % MR == 0);
constexpr int64_t LC = 128 / NR * NR;  // rows or columns of a long X that are packed at a time

UPS_TRI_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
UPS_TRI_INLINE int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }

#ifdef UPS_TRI_BF16
#include "ups/optim/tri_gemm_pack_bf16.h"
#else
#include "ups/optim/tri_gemm_pack.h"
#endif

// C = alpha (sum over k + ratio D), or C += alpha (sum over k) in later passes over k: one way only to fuse multiply and add.
struct Out {
  float* c;
  int64_t stride;  // of c and d
  float alpha;
  const float* d;  // nullptr: ratio is 0
  float ratio;
};

template <int N>
UPS_TRI_INLINE void finish(const vf (&acc)[MR][N], const Out& o, float* c, const float* d, int64_t stride, bool first) {
#pragma GCC unroll 16
  for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) {
      const int64_t at = i * stride + j * VW;
      vf r = acc[i][j];
      if (!first) r = o.alpha * r + load(c + at);
      else if (d) r = o.alpha * (o.ratio * load(d + at) + r);
      else r = o.alpha * r;
      store(c + at, r);
    }
}

// The tile at c[at]: rows x columns of it exist. Ragged ones go through a buffer, so that every element sees the same operations.
template <int N>
__attribute__((noinline)) void tile(int64_t steps, const element* a, const element* b, const Out& o, int64_t at, bool first, int64_t rows,
                                    int64_t columns) {
  vf acc[MR][N] = {};
  for (int64_t q = 0; q < steps; ++q, a += NR, b += NR) {
    vf y[N];
#pragma GCC unroll 4
    for (int j = 0; j < N; ++j) y[j] = load_element(b + j * VW);
#pragma GCC unroll 16
    for (int i = 0; i < MR; ++i)
#pragma GCC unroll 4
      for (int j = 0; j < N; ++j) acc[i][j] = multiply_add(a + i, y[j], acc[i][j]);
  }
  if (rows == MR && columns == N * VW) return finish<N>(acc, o, o.c + at, o.d ? o.d + at : nullptr, o.stride, first);
  constexpr int64_t kWidth = N * VW;
  float c[MR * kWidth], d[MR * kWidth];
  for (int64_t i = 0; i < MR * kWidth; ++i) c[i] = d[i] = 0;
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) {
      if (!first) c[i * kWidth + j] = o.c[at + i * o.stride + j];
      else if (o.d) d[i * kWidth + j] = o.d[at + i * o.stride + j];
    }
  finish<N>(acc, o, c, o.d ? d : nullptr, kWidth, first);
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = 0; j < columns; ++j) o.c[at + i * o.stride + j] = c[i * kWidth + j];
}

// No wider than the columns that are wanted.
UPS_TRI_INLINE void any_tile(int64_t steps, const element* a, const element* b, const Out& o, int64_t at, bool first, int64_t rows,
                             int64_t columns) {
  static_assert(NV <= 3);
  if (NV > 2 && columns > 2 * VW) tile<NV>(steps, a, b, o, at, first, rows, columns);
  else if (columns > VW) tile<2>(steps, a, b, o, at, first, rows, columns);
  else tile<1>(steps, a, b, o, at, first, rows, columns);
}

UPS_TRI_INLINE const element* part(const element* panels, int64_t row, int64_t steps) { return panels + row / NR * NR * steps + row % NR; }

// The lower triangle of an m x m matrix to the upper one.
void mirror(float* c, int64_t m) {
  int64_t i = 0;
  for (; i + VW <= m; i += VW) {
    for (int64_t j = 0; j < i; j += VW) transpose_block(c + i * m + j, m, c + j * m + i, m);
    for (int64_t r = 1; r < VW; ++r)
      for (int64_t s = 0; s < r; ++s) c[(i + s) * m + i + r] = c[(i + r) * m + i + s];
  }
  for (; i < m; ++i)
    for (int64_t j = 0; j < i; ++j) c[j * m + i] = c[i * m + j];
}

// A matrix of `m` rows along a panel and k: element (i, k) at data[i * row + k * step], one of both strides is 1.
struct Factor {
  const float* data;
  int64_t row, step;
};

void triangle(int64_t m, int64_t k, const Factor& a, const Factor& b, const Out& o, float* scratch) {
  auto* left = reinterpret_cast<element*>(scratch);
  auto* right = a.data == b.data ? left : left + round_up(m, NR) * packed_steps(KC);
  for (int64_t k0 = 0; k0 < k; k0 += KC) {
    const int64_t kc = least(KC, k - k0), steps = packed_steps(kc);
    for (int64_t j = 0; j < m; j += NR) pack(a.data + j * a.row + k0 * a.step, a.row, a.step, least(NR, m - j), kc, left + j * steps);
    if (left != right)
      for (int64_t j = 0; j < m; j += NR) pack(b.data + j * b.row + k0 * b.step, b.row, b.step, least(NR, m - j), kc, right + j * steps);
    for (int64_t j = 0; j < m; j += NR)
      for (int64_t i = j; i < m; i += MR) {  // j is a multiple of MR
        const int64_t columns = least(least(NR, m - j), round_up(i + MR - j, VW));
        any_tile(steps, part(left, i, steps), right + j * steps, o, i * m + j, k0 == 0, least(MR, m - i), columns);
      }
  }
  mirror(o.c, m);
}

int64_t scratch_floats(int64_t m) {
  const int64_t padded = round_up(m, NR), pass = packed_steps(KC);
  const int64_t products = 2 * padded * pass, application = padded * packed_steps(m) + LC * pass;
  return products > application ? products : application;
}

void gram(int64_t rows, int64_t columns, const float* x, float* out, float* scratch) {
  const bool tall = rows > columns;
  const int64_t m = tall ? columns : rows, n = tall ? rows : columns;
  const Factor f = tall ? Factor{x, 1, m} : Factor{x, n, 1};
  triangle(m, n, f, f, {out, m, 1, nullptr, 0}, scratch);
}

void multiply(int64_t m, const float* p, const float* r, float* out, float alpha, const float* d, float beta, float* scratch) {
  triangle(m, m, {p, 1, m}, {r, 1, m}, {out, m, alpha, d, beta / alpha}, scratch);
}

// P is packed once, X in pieces of LC along its long side.
void apply(int64_t rows, int64_t columns, const float* p, const float* x, float beta, float* out, float* scratch) {
  const bool tall = rows > columns;
  const int64_t m = tall ? columns : rows, n = tall ? rows : columns, padded = round_up(m, NR);
  auto* square = reinterpret_cast<element*>(scratch);
  auto* piece = square + padded * packed_steps(m);
  for (int64_t k0 = 0; k0 < m; k0 += KC) {
    const int64_t kc = least(KC, m - k0), steps = packed_steps(kc);
    for (int64_t j = 0; j < m; j += NR) pack(p + j + k0 * m, 1, m, least(NR, m - j), kc, square + packed_steps(k0) * padded + j * steps);
  }
  const Out o{out, columns, 1, beta != 0 ? x : nullptr, beta};
  for (int64_t l0 = 0; l0 < n; l0 += LC) {
    const int64_t lc = least(LC, n - l0);
    for (int64_t k0 = 0; k0 < m; k0 += KC) {
      const int64_t kc = least(KC, m - k0), steps = packed_steps(kc);
      const element* q = square + packed_steps(k0) * padded;
      for (int64_t l = 0; l < lc; l += NR) {
        const float* from = tall ? x + (l0 + l) * m + k0 : x + k0 * n + l0 + l;
        pack(from, tall ? m : 1, tall ? 1 : n, least(NR, lc - l), kc, piece + l * steps);
      }
      if (tall) {
        for (int64_t j = 0; j < m; j += NR)
          for (int64_t l = 0; l < lc; l += MR)
            any_tile(steps, part(piece, l, steps), q + j * steps, o, (l0 + l) * m + j, k0 == 0, least(MR, lc - l), least(NR, m - j));
      } else {
        for (int64_t l = 0; l < lc; l += NR)
          for (int64_t i = 0; i < m; i += MR)
            any_tile(steps, part(q, i, steps), piece + l * steps, o, i * n + l0 + l, k0 == 0, least(MR, m - i), least(NR, lc - l));
      }
    }
  }
}

extern const TriGemm kTable;
#ifdef UPS_TRI_BF16
const TriGemm kTable{UPS_TRI_NAME, scratch_floats, gram, multiply, apply, {}};
#else
#include "ups/optim/orth_lanes_impl.h"
const TriGemm kTable{UPS_TRI_NAME, scratch_floats, gram, multiply, apply, {VW, lane_floats, lane_run}};
#endif

}  // namespace ups::optim::host::UPS_TRI_ISA
