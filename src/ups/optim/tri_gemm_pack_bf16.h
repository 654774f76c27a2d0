// Panels of bf16 pairs (k, k + 1) in one 32-bit word, rounded to nearest even; included by tri_gemm_impl.h inside its namespace.
#pragma once
using element = unsigned;
constexpr int64_t KC = 384;  // k per pass, even

UPS_TRI_INLINE int64_t packed_steps(int64_t k) { return (k + 1) / 2; }
UPS_TRI_INLINE vf load_element(const element* p) { return load(reinterpret_cast<const float*>(p)); }
UPS_TRI_INLINE vf multiply_add(const element* a, vf b, vf c) {
  const __m512i pair = _mm512_set1_epi32(static_cast<int>(*a));
  return reinterpret_cast<vf>(
      _mm512_dpbf16_ps(reinterpret_cast<__m512>(c), reinterpret_cast<__m512bh>(pair), reinterpret_cast<__m512bh>(b)));
}

UPS_TRI_INLINE element rounded(float x) {
  const element bits = __builtin_bit_cast(element, x);
  return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}
UPS_TRI_INLINE element pair(float low, float high) { return rounded(low) | rounded(high) << 16; }

// to[k/2][i] = the pair from[i * row + k * step], from[i * row + (k + 1) * step] for i < rows, else 0. An odd end is paired with 0.
void pack(const float* from, int64_t row, int64_t step, int64_t rows, int64_t k, element* to) {
  const int64_t even = k / 2 * 2;
  if (row == 1) {
    // Words of the second vector between those of the first.
    alignas(64) unsigned short weave[32];
    for (unsigned short i = 0; i < 16; ++i) {
      weave[2 * i] = i;
      weave[2 * i + 1] = static_cast<unsigned short>(16 + i);
    }
    const __m512i order = _mm512_load_si512(weave);
    for (int64_t q = 0; q < k; q += 2, to += NR) {
      const float* low = from + q * step;
      const float* high = low + step;
      int64_t i = 0;
      for (; i + VW <= rows; i += VW) {
        const __m512 second = q < even ? _mm512_loadu_ps(high + i) : _mm512_setzero_ps();
        const __m512i both = reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(second, _mm512_loadu_ps(low + i)));
        _mm512_storeu_si512(to + i, _mm512_permutexvar_epi16(order, both));
      }
      for (; i < rows; ++i) to[i] = pair(low[i], q < even ? high[i] : 0.f);
      for (; i < NR; ++i) to[i] = 0;
    }
    return;
  }
  int64_t i = 0;
  for (; i + VW <= rows; i += VW) {
    int64_t q = 0;
    for (; q + 2 * VW <= k; q += 2 * VW) {
      vf x[VW];
#pragma GCC unroll 16
      for (int j = 0; j < VW; ++j) {
        const float* p = from + (i + j) * row + q;
        x[j] = reinterpret_cast<vf>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(p + VW), _mm512_loadu_ps(p)));
      }
      exchange<VW / 2>(x);
#pragma GCC unroll 16
      for (int j = 0; j < VW; ++j) store(reinterpret_cast<float*>(to) + (q / 2 + j) * NR + i, x[j]);
    }
    for (; q < k; q += 2)
      for (int64_t j = i; j < i + VW; ++j) to[q / 2 * NR + j] = pair(from[j * row + q], q < even ? from[j * row + q + 1] : 0.f);
  }
  for (; i < NR; ++i)
    for (int64_t q = 0; q < k; q += 2)
      to[q / 2 * NR + i] = i < rows ? pair(from[i * row + q], q < even ? from[i * row + q + 1] : 0.f) : 0;
}
