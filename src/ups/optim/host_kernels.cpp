// Compiled with -O3 -ffp-contract=off.
#include "ups/optim/host_kernels.h"

#include <bit>
#include <cmath>

#define UPS_INLINE inline __attribute__((always_inline))

namespace ups::optim::host {
namespace {

constexpr int kLanes = 16;  // independent partial sums; fixed, so that the order of summation does not depend on the machine

UPS_INLINE double fold(const double* part) {
  double s = 0;
  for (int j = 0; j < kLanes; ++j) s += part[j];
  return s;
}

template <class T>
UPS_INLINE double scale_sum_squares_body(T* g, int64_t n, T factor, bool scale) {
  double part[kLanes] = {};
  int64_t i = 0;
  if (scale) {
    for (; i + kLanes <= n; i += kLanes)
      for (int j = 0; j < kLanes; ++j) {
        const T x = g[i + j] * factor;
        g[i + j] = x;
        part[j] += static_cast<double>(x) * static_cast<double>(x);
      }
    for (int j = 0; i < n; ++i, ++j) {
      const T x = g[i] * factor;
      g[i] = x;
      part[j] += static_cast<double>(x) * static_cast<double>(x);
    }
  } else {
    for (; i + kLanes <= n; i += kLanes)
      for (int j = 0; j < kLanes; ++j) part[j] += static_cast<double>(g[i + j]) * static_cast<double>(g[i + j]);
    for (int j = 0; i < n; ++i, ++j) part[j] += static_cast<double>(g[i]) * static_cast<double>(g[i]);
  }
  return fold(part);
}

template <class T>
UPS_INLINE void scale_body(T* x, int64_t n, T factor) {
  for (int64_t i = 0; i < n; ++i) x[i] *= factor;
}

template <class T>
UPS_INLINE void round_bf16_body(T* x, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const auto bits = std::bit_cast<uint32_t>(x[i]);
    x[i] = std::bit_cast<T>((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
  }
}

template <class T>
UPS_INLINE double muon_momentum_body(const T* __restrict g, T* __restrict m, T* __restrict u, int64_t n, double mu, bool nesterov,
                                     double grad_factor) {
  const T f = static_cast<T>(grad_factor);
  const T w = static_cast<T>(1 - mu), b = nesterov ? static_cast<T>(mu) : T(1);
  // U = G + b (M - G); b = 1 would round, so plain momentum copies M.
  double part[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int j = 0; j < kLanes; ++j) {
      const T grad = g[i + j] * f;
      const T mom = m[i + j] + w * (grad - m[i + j]);
      m[i + j] = mom;
      const T x = nesterov ? grad + b * (mom - grad) : mom;
      u[i + j] = x;
      part[j] += static_cast<double>(x) * static_cast<double>(x);
    }
  for (int j = 0; i < n; ++i, ++j) {
    const T grad = g[i] * f;
    const T mom = m[i] + w * (grad - m[i]);
    m[i] = mom;
    const T x = nesterov ? grad + b * (mom - grad) : mom;
    u[i] = x;
    part[j] += static_cast<double>(x) * static_cast<double>(x);
  }
  return fold(part);
}

template <class T>
UPS_INLINE void normalise_body(T* x, int64_t n, double factor) {
  for (int64_t i = 0; i < n; ++i) x[i] = static_cast<T>(static_cast<double>(x[i]) * factor);
}

template <class T>
UPS_INLINE void muon_apply_body(T* __restrict w, const T* __restrict o, int64_t n, double decay, double step, bool cautious) {
  if (cautious) {
    for (int64_t i = 0; i < n; ++i) {
      const double wi = static_cast<double>(w[i]), oi = static_cast<double>(o[i]);
      w[i] = static_cast<T>((wi * oi >= 0 ? decay : 1.0) * wi - step * oi);
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) w[i] = static_cast<T>(decay * static_cast<double>(w[i]) - step * static_cast<double>(o[i]));
}

template <class T>
UPS_INLINE void ema_body(T* __restrict shadow, const T* __restrict value, int64_t n, double one_minus_d) {
  for (int64_t i = 0; i < n; ++i) {
    const double s = static_cast<double>(shadow[i]);
    shadow[i] = static_cast<T>(s + one_minus_d * (static_cast<double>(value[i]) - s));
  }
}

// In T as PyTorch has it.
template <class T>
UPS_INLINE void sgd_body(T* __restrict w, const T* __restrict grad, T* __restrict buffer, int64_t n, const SgdScalars& s) {
  const T f = static_cast<T>(s.grad_factor), l2 = static_cast<T>(s.weight_decay), lr = static_cast<T>(s.lr);
  const T mu = s.first ? T(0) : static_cast<T>(s.momentum), part = s.first ? T(1) : static_cast<T>(1 - s.dampening);
  if (buffer == nullptr) {
    for (int64_t i = 0; i < n; ++i) w[i] -= lr * (grad[i] * f + l2 * w[i]);
    return;
  }
  const T ahead = static_cast<T>(s.momentum);
  if (s.nesterov) {
    for (int64_t i = 0; i < n; ++i) {
      const T g = grad[i] * f + l2 * w[i], b = mu * buffer[i] + part * g;
      buffer[i] = b;
      w[i] -= lr * (g + ahead * b);
    }
    return;
  }
  for (int64_t i = 0; i < n; ++i) {
    const T b = mu * buffer[i] + part * (grad[i] * f + l2 * w[i]);
    buffer[i] = b;
    w[i] -= lr * b;
  }
}

// The moments in T as PyTorch has them; decay and update rounded once into W.
template <class T, bool Amsgrad, bool Cautious>
UPS_INLINE void adam_loop(T* __restrict w, const T* __restrict grad, T* __restrict m, T* __restrict v, T* __restrict vmax, int64_t n,
                          const AdamScalars& s) {
  const T l2 = static_cast<T>(s.l2), b1 = static_cast<T>(1 - s.beta1), b2 = static_cast<T>(s.beta2), c2 = static_cast<T>(1 - s.beta2);
  const T root = static_cast<T>(s.inv_root_c2), eps = static_cast<T>(s.eps), step = static_cast<T>(s.step_size);
  const T f = static_cast<T>(s.grad_factor);
  const double decay = s.decay;
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * f + l2 * w[i];
    const T mi = m[i] + b1 * (g - m[i]);
    const T vi = b2 * v[i] + c2 * g * g;
    m[i] = mi;
    v[i] = vi;
    T top = vi;
    if constexpr (Amsgrad) {
      top = vmax[i] > vi ? vmax[i] : vi;
      vmax[i] = top;
    }
    const T update = step * mi / (std::sqrt(top) * root + eps);
    const double wi = static_cast<double>(w[i]);
    const double kept = Cautious ? (static_cast<double>(mi) * wi >= 0 ? decay : 1.0) * wi : decay * wi;
    w[i] = static_cast<T>(kept - static_cast<double>(update));
  }
}

template <class T>
UPS_INLINE void adam_body(T* __restrict w, const T* __restrict grad, T* __restrict m, T* __restrict v, T* __restrict vmax, int64_t n,
                          const AdamScalars& s) {
  if (s.cautious) {
    if (vmax) return adam_loop<T, true, true>(w, grad, m, v, vmax, n, s);
    return adam_loop<T, false, true>(w, grad, m, v, vmax, n, s);
  }
  if (vmax) return adam_loop<T, true, false>(w, grad, m, v, vmax, n, s);
  adam_loop<T, false, false>(w, grad, m, v, vmax, n, s);
}

#if defined(__x86_64__)
enum class Level { base, avx2, avx512 };
Level detect() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    return Level::avx512;
  return __builtin_cpu_supports("avx2") ? Level::avx2 : Level::base;
}
Level level() {
  static const Level l = detect();
  return l;
}
#define UPS_KERNEL(RET, NAME, T, PARAMS, ARGS)                                                                     \
  namespace {                                                                                                      \
  __attribute__((target("avx512f,avx512vl,avx512dq"))) RET NAME##_avx512 PARAMS { return NAME##_body<T> ARGS; }    \
  __attribute__((target("avx2"))) RET NAME##_avx2 PARAMS { return NAME##_body<T> ARGS; }                           \
  }                                                                                                                \
  RET NAME PARAMS {                                                                                                \
    if (level() == Level::avx512) return NAME##_avx512 ARGS;                                                       \
    if (level() == Level::avx2) return NAME##_avx2 ARGS;                                                           \
    return NAME##_body<T> ARGS;                                                                                    \
  }
#else
#define UPS_KERNEL(RET, NAME, T, PARAMS, ARGS) \
  RET NAME PARAMS { return NAME##_body<T> ARGS; }
#endif

}  // namespace

#define UPS_KERNELS(T)                                                                                                            \
  UPS_KERNEL(double, scale_sum_squares, T, (T * g, int64_t n, T factor, bool do_scale), (g, n, factor, do_scale))                 \
  UPS_KERNEL(void, scale, T, (T * x, int64_t n, T factor), (x, n, factor))                                                        \
  UPS_KERNEL(double, muon_momentum, T, (const T* g, T* m, T* u, int64_t n, double mu, bool nesterov, double f), (g, m, u, n, mu, nesterov, f)) \
  UPS_KERNEL(void, normalise, T, (T * x, int64_t n, double factor), (x, n, factor))                                               \
  UPS_KERNEL(void, muon_apply, T, (T * w, const T* o, int64_t n, double decay, double step, bool c), (w, o, n, decay, step, c))              \
  UPS_KERNEL(void, ema, T, (T * shadow, const T* value, int64_t n, double one_minus_d), (shadow, value, n, one_minus_d))          \
  UPS_KERNEL(void, sgd, T, (T * w, const T* g, T* buffer, int64_t n, const SgdScalars& s), (w, g, buffer, n, s))                 \
  UPS_KERNEL(void, adam, T, (T * w, const T* g, T* m, T* v, T* vmax, int64_t n, const AdamScalars& s), (w, g, m, v, vmax, n, s))

UPS_KERNELS(float)
UPS_KERNELS(double)
UPS_KERNEL(void, round_bf16, float, (float* x, int64_t n), (x, n))

}  // namespace ups::optim::host
