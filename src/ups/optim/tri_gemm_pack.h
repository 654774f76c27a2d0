// fp32 panels; included by tri_gemm_impl.h inside its namespace.
#pragma once
using element = float;
// k per pass: a panel of 32 columns is 24 KiB and stays in the first cache. It decides bits: one value for all instruction sets.
constexpr int64_t KC = 192;

UPS_TRI_INLINE int64_t packed_steps(int64_t k) { return k; }
UPS_TRI_INLINE vf load_element(const element* p) { return load(p); }
UPS_TRI_INLINE vf multiply_add(const element* a, vf b, vf c) { return *a * b + c; }

// to[k][i] = from[i * row + k * step] for i < rows, 0 for rows <= i < NR.
void pack(const float* from, int64_t row, int64_t step, int64_t rows, int64_t k, element* to) {
  if (row == 1) {
    for (int64_t q = 0; q < k; ++q, from += step, to += NR) {
      int64_t i = 0;
      for (; i + VW <= rows; i += VW) store(to + i, load(from + i));
      for (; i < rows; ++i) to[i] = from[i];
      for (; i < NR; ++i) to[i] = 0;
    }
    return;
  }
  int64_t i = 0;
  for (; i + VW <= rows; i += VW) {
    int64_t q = 0;
    for (; q + VW <= k; q += VW) transpose_block(from + i * row + q, row, to + q * NR + i, NR);
    for (; q < k; ++q)
      for (int64_t j = i; j < i + VW; ++j) to[q * NR + j] = from[j * row + q];
  }
  for (; i < NR; ++i)
    for (int64_t q = 0; q < k; ++q) to[q * NR + i] = i < rows ? from[i * row + q] : 0.f;
}
