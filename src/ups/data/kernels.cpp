#include "ups/data/kernels.h"

#include <cstring>

namespace ups::data {

void normalise_row(const float* in, float* out, size_t n, double shift, double scale) {
  const double inverse = 1.0 / scale;
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<float>((static_cast<double>(in[i]) - shift) * inverse);
}

void restore_row(float* x, size_t n, double shift, double scale) {
  for (size_t i = 0; i < n; ++i) x[i] = static_cast<float>(static_cast<double>(x[i]) * scale + shift);
}

bool all_finite(std::span<const float> x) {
  uint32_t bad = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    uint32_t bits;
    std::memcpy(&bits, &x[i], sizeof bits);
    bad |= static_cast<uint32_t>((bits & 0x7f800000u) == 0x7f800000u);
  }
  return bad == 0;
}

void Moments::merge(const Moments& o) {
  if (o.count == 0) return;
  const double n = count + o.count, d = o.mean - mean;
  mean += d * o.count / n;
  m2 += o.m2 + d * d * count * o.count / n;
  count = n;
}

Moments moments(const float* x, size_t n) {
  if (n == 0) return {};
  // Four partial sums: the compiler may not reorder a single chain of additions.
  double s[4] = {};
  for (size_t i = 0; i < n; ++i) s[i & 3] += static_cast<double>(x[i]);
  const double mean = (s[0] + s[1] + s[2] + s[3]) / static_cast<double>(n);
  double q[4] = {};
  for (size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(x[i]) - mean;
    q[i & 3] += d * d;
  }
  return {static_cast<double>(n), mean, q[0] + q[1] + q[2] + q[3]};
}

double squared_distance(const float* a, const float* b, size_t n) {
  double s[4] = {};
  for (size_t i = 0; i < n; ++i) {
    const double d = static_cast<double>(b[i]) - static_cast<double>(a[i]);
    s[i & 3] += d * d;
  }
  return s[0] + s[1] + s[2] + s[3];
}

}  // namespace ups::data
