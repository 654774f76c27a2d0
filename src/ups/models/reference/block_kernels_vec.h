// Vectors of UPS_KERNEL_BYTES bytes by the compilers' vector extension. Included by block_kernels_impl.h only, after UPS_KERNEL_ISA
// is defined: every instruction set has its own namespace, so no inline function is shared between files of different flags.
#pragma once
#include <cstdint>

namespace ups::models::reference::UPS_KERNEL_ISA {

constexpr int64_t V = UPS_KERNEL_BYTES / 4;
typedef float vf __attribute__((vector_size(UPS_KERNEL_BYTES)));
typedef float vfu __attribute__((vector_size(UPS_KERNEL_BYTES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(UPS_KERNEL_BYTES)));

inline vf load(const float* p) { return *reinterpret_cast<const vfu*>(p); }
inline void store(float* p, vf v) { *reinterpret_cast<vfu*>(p) = v; }
inline vf splat(float x) { return vf{} + x; }
inline vf vmax(vf a, vf b) { return a > b ? a : b; }

inline vf vsqrt(vf x) {
  vf y;
  for (int64_t l = 0; l < V; ++l) y[l] = __builtin_sqrtf(x[l]);
  return y;
}

// Relative error 3e-8 plus rounding; arguments below -87 give 1.6e-38 instead of less.
inline vf vexp(vf x) {
  x = x < splat(-87.f) ? splat(-87.f) : x;
  x = x > splat(88.f) ? splat(88.f) : x;
  const vf magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  const vf t = x * 1.44269504f + magic, n = t - magic;
  const vf r = (x - n * 0.693359375f) - n * -2.12194440e-4f;
  vf p = splat(0.00138144635f);
  p = p * r + 0.00836878179f;
  p = p * r + 0.0416683944f;
  p = p * r + 0.166665201f;
  p = p * r + 0.499999934f;
  p = p * (r * r) + r + 1.f;
  const vi bits = (reinterpret_cast<vi>(t) - 0x4B400000 + 127) << 23;
  return p * reinterpret_cast<vf>(bits);
}

// Phi(x), the normal distribution function, and its density. erfc(y) = exp(-y^2) * poly(1/(1+py)), own fit, relative error 4e-8.
inline void normal_distribution(vf x, vf& phi, vf& density) {
  const vf a = x < splat(0.f) ? -x : x;
  const vf e = vexp(x * x * -0.5f);
  const vf t = 1.f / (a * 0.23f + 1.f);
  vf s = splat(-0.0767476505f);
  s = s * t + 0.281516755f;
  s = s * t - 0.258398191f;
  s = s * t + 0.277013847f;
  s = s * t - 0.014398988f;
  s = s * t + 0.110751925f;
  s = s * t + 0.0882895376f;
  s = s * t + 0.0919727451f;
  const vf tail = s * t * e;
  phi = x < splat(0.f) ? tail : 1.f - tail;
  density = e * 0.398942280f;
}

inline float hsum(vf v) {
  float s[V];
  store(s, v);
  for (int64_t n = V / 2; n > 0; n /= 2)
    for (int64_t l = 0; l < n; ++l) s[l] += s[l + n];
  return s[0];
}

// Lane i of the result = sum over the lanes of v[i]; V vectors in, destroyed. Halves the count by adding even and odd lanes.
inline vf sum_lanes(vf* v) {
  for (int64_t n = V; n > 1; n /= 2) {
    for (int64_t i = 0; i < n / 2; ++i) {
      const vf a = v[2 * i], b = v[2 * i + 1];
#if UPS_KERNEL_BYTES == 64
      v[i] = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30) +
             __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif UPS_KERNEL_BYTES == 32
      v[i] = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14) + __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
      v[i] = __builtin_shufflevector(a, b, 0, 2, 4, 6) + __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
    }
  }
  return v[0];
}

}  // namespace ups::models::reference::UPS_KERNEL_ISA
