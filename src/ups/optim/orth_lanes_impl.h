// Implementation of LaneOrth (tri_gemm.h) for one instruction set. Included by tri_gemm_impl.h inside its namespace.
//
// Entry (i, k) of all matrices is one vector, at x[(i n + k) VW]: products are plain loops over vectors in registers. The order of every
// sum is that of the packed products, so both give the same bits.
#pragma once
constexpr int LI = VW == 16 ? 4 : 3, LJ = VW == 16 ? 6 : 4;  // accumulators: 24 of 32 registers, or 12 of 16
constexpr int LS = 4;  // of symmetric products: narrower tiles waste less above the diagonal

// acc[r][s] += sum over k of a[r][k] b[s][k]; vectors of row r lie at a[r], `sa` floats apart.
template <int J>
UPS_TRI_INLINE void lane_tile(int64_t steps, const float* const (&a)[LI], int64_t sa, const float* const (&b)[J], int64_t sb, vf (&acc)[LI][J]) {
  for (int64_t k = 0; k < steps; ++k) {
    vf y[J];
#pragma GCC unroll 8
    for (int s = 0; s < J; ++s) y[s] = load(b[s] + k * sb);
#pragma GCC unroll 8
    for (int r = 0; r < LI; ++r) {
      const vf left = load(a[r] + k * sa);
#pragma GCC unroll 8
      for (int s = 0; s < J; ++s) acc[r][s] = left * y[s] + acc[r][s];
    }
  }
}

// out = alpha (X Y^T + ratio D), symmetric m x m, X and Y m x n.
void lane_symmetric(int64_t m, int64_t n, const float* x, const float* y, float* out, float alpha, const float* d, float ratio) {
  for (int64_t i = 0; i < m; i += LI)
    for (int64_t j = 0; j < least(m, i + LI); j += LS) {
      const float *a[LI], *b[LS];
      for (int r = 0; r < LI; ++r) a[r] = x + least(i + r, m - 1) * n * VW;  // ragged tiles repeat the last row
      for (int s = 0; s < LS; ++s) b[s] = y + least(j + s, m - 1) * n * VW;
      vf acc[LI][LS] = {};
      lane_tile(n, a, VW, b, VW, acc);
      for (int64_t r = 0; r < least(LI, m - i); ++r)
        for (int64_t s = 0; s < LS && j + s <= i + r; ++s) {
          const int64_t at = ((i + r) * m + j + s) * VW;
          const vf value = d ? alpha * (ratio * load(d + at) + acc[r][s]) : alpha * acc[r][s];
          store(out + at, value);
          store(out + ((j + s) * m + i + r) * VW, value);
        }
    }
}

// out = P X, P symmetric m x m, X m x n.
void lane_apply(int64_t m, int64_t n, const float* p, const float* x, float* out) {
  for (int64_t i = 0; i < m; i += LI)
    for (int64_t k = 0; k < n; k += LJ) {
      const float *a[LI], *b[LJ];
      for (int r = 0; r < LI; ++r) a[r] = p + least(i + r, m - 1) * m * VW;
      for (int s = 0; s < LJ; ++s) b[s] = x + least(k + s, n - 1) * VW;
      vf acc[LI][LJ] = {};
      lane_tile(m, a, VW, b, n * VW, acc);
      for (int64_t r = 0; r < least(LI, m - i); ++r)
        for (int64_t s = 0; s < least(LJ, n - k); ++s) store(out + ((i + r) * n + k + s) * VW, acc[r][s]);
    }
}

// Matrices one after the other, `stride` floats apart, to lanes and back; tall ones are transposed on the way.
template <bool to_lanes>
void lane_copy(int64_t rows, int64_t columns, float* matrices, int64_t stride, float* x) {
  const bool tall = rows > columns;
  const int64_t size = rows * columns;
  for (int64_t e = 0; e < size; e += VW) {
    const int64_t count = least(VW, size - e);
    float* place[VW];
    for (int64_t t = 0; t < count; ++t) place[t] = x + (tall ? (e + t) % columns * rows + (e + t) / columns : e + t) * VW;
    vf block[VW];
    if (to_lanes) {
#pragma GCC unroll 16
      for (int l = 0; l < VW; ++l) block[l] = load(matrices + l * stride + e);
    } else {
      for (int64_t t = 0; t < VW; ++t) block[t] = t < count ? load(place[t]) : vf{};
    }
    exchange<VW / 2>(block);
    if (to_lanes) {
      for (int64_t t = 0; t < count; ++t) store(place[t], block[t]);
    } else {
#pragma GCC unroll 16
      for (int l = 0; l < VW; ++l) store(matrices + l * stride + e, block[l]);
    }
  }
}

int64_t lane_floats(int64_t m, int64_t n, bool gram) { return 2 * (m * n + (gram ? 2 : 1) * m * m) * VW; }

// p = aI + bR + cR^2
void lane_polynomial(int64_t m, const float* step, const float* r, float* p) {
  const float a = step[0], b = step[1], c = step[2];
  if (c != 0) lane_symmetric(m, m, r, r, p, c, r, b / c);
  else
    for (int64_t e = 0; e < m * m * VW; e += VW) store(p + e, b * load(r + e));
  for (int64_t k = 0; k < m; ++k) store(p + k * (m + 1) * VW, load(p + k * (m + 1) * VW) + a);
}

UPS_TRI_INLINE void exchange_pointers(float*& a, float*& b) {
  float* const c = a;
  a = b;
  b = c;
}

// The steps are those of orth_tri.cpp, plain() and gram().
void lane_run(int64_t rows, int64_t columns, float* matrices, int64_t stride, const float* coefficients, int64_t steps, bool gram, float* scratch) {
  const int64_t m = least(rows, columns), n = rows + columns - m, square = m * m * VW;
  float *x = scratch, *spare = x + m * n * VW, *r = spare + m * n * VW, *p = r + square, *q = p + square, *t = q + square;
  lane_copy<true>(rows, columns, matrices, stride, x);
  bool fresh = true;  // R does not belong to X, and nothing is in Q
  for (int64_t i = 0; i < steps; ++i) {
    if (fresh) lane_symmetric(m, n, x, x, r, 1, nullptr, 0);
    lane_polynomial(m, coefficients + 3 * i, r, p);
    const bool leave = !gram || i + 1 == steps || i + 1 == kGramRestart;
    if (!leave) {
      lane_symmetric(m, m, p, r, t, 1, nullptr, 0);
      lane_symmetric(m, m, t, p, r, 1, nullptr, 0);
    }
    if (gram && !fresh) {
      lane_symmetric(m, m, q, p, t, 1, nullptr, 0);
      exchange_pointers(q, t);
    } else if (gram) {
      exchange_pointers(p, q);
    }
    fresh = leave;
    if (leave) {
      lane_apply(m, n, gram ? q : p, x, spare);
      exchange_pointers(x, spare);
    }
  }
  lane_copy<false>(rows, columns, matrices, stride, x);
}
