// Vectors of VW floats as GCC and clang have them, and the transposition of a VW x VW block. Included by tri_gemm_impl.h inside the
// namespace of one instruction set.
#pragma once
constexpr int VW = UPS_TRI_BYTES / 4;

typedef float vf __attribute__((vector_size(UPS_TRI_BYTES)));
typedef float vf_unaligned __attribute__((vector_size(UPS_TRI_BYTES), aligned(4), may_alias));

UPS_TRI_INLINE vf load(const float* p) { return *reinterpret_cast<const vf_unaligned*>(p); }
UPS_TRI_INLINE void store(float* p, vf v) { *reinterpret_cast<vf_unaligned*>(p) = v; }

template <int... I>
struct Ints {};
template <int N, int... I>
struct CountTo : CountTo<N - 1, N - 1, I...> {};
template <int... I>
struct CountTo<0, I...> {
  using type = Ints<I...>;
};

template <int S, int... I>
UPS_TRI_INLINE vf keep_low(vf a, vf b, Ints<I...>) {
  return __builtin_shufflevector(a, b, ((I & S) ? VW + I - S : I)...);
}
template <int S, int... I>
UPS_TRI_INLINE vf keep_high(vf a, vf b, Ints<I...>) {
  return __builtin_shufflevector(a, b, ((I & S) ? VW + I : I + S)...);
}

// Transposes by exchanging off-diagonal blocks of size S, S/2, .., 1.
template <int S>
UPS_TRI_INLINE void exchange(vf* x) {
  using Index = typename CountTo<VW>::type;
#pragma GCC unroll 16
  for (int i = 0; i < VW; ++i)
    if (!(i & S)) {
      const vf a = x[i], b = x[i + S];
      x[i] = keep_low<S>(a, b, Index());
      x[i + S] = keep_high<S>(a, b, Index());
    }
  if constexpr (S > 1) exchange<S / 2>(x);
}

// to[j][i] = from[i][j], strides in floats.
UPS_TRI_INLINE void transpose_block(const float* from, int64_t from_stride, float* to, int64_t to_stride) {
  vf x[VW];
#pragma GCC unroll 16
  for (int i = 0; i < VW; ++i) x[i] = load(from + i * from_stride);
  exchange<VW / 2>(x);
#pragma GCC unroll 16
  for (int i = 0; i < VW; ++i) store(to + i * to_stride, x[i]);
}
