#include "ups/data/generators/lanes.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstdint>
#include <numbers>

namespace ups::data {

extern const LaneKernels kLaneKernelsBase;
#if defined(__x86_64__)
extern const LaneKernels kLaneKernelsAvx2;
#endif

const LaneKernels& lane_kernels() {
#if defined(__x86_64__)
  static const bool has_avx2 = __builtin_cpu_supports("avx2") != 0;
  if (has_avx2) return kLaneKernelsAvx2;
#endif
  return kLaneKernelsBase;
}

const LaneKernels& base_lane_kernels() { return kLaneKernelsBase; }

void LaneArray::resize(size_t elements) {
  store_.assign(elements * kSignals + 8, 0.0);
  const auto address = reinterpret_cast<uintptr_t>(store_.data());
  data_ = store_.data() + ((64 - address % 64) % 64) / sizeof(double);
  elements_ = elements;
}

LaneArray& LaneArray::operator=(const LaneArray& other) {
  if (this == &other) return *this;
  if (elements_ != other.elements_) resize(other.elements_);
  std::copy_n(other.data_, elements_ * kSignals, data_);
  return *this;
}

LaneFft::LaneFft(size_t n) : n_(n), scratch_(n) {
  assert(n >= 2 && (n & (n - 1)) == 0);
  for (size_t len = n; len >= 4; len /= 4) {
    std::vector<double> tw;
    tw.reserve(6 * (len / 4));
    for (size_t p = 0; p < len / 4; ++p) {
      for (size_t power = 1; power <= 3; ++power) {
        const double angle = -2 * std::numbers::pi * static_cast<double>(p * power) / static_cast<double>(len);
        tw.push_back(std::cos(angle));
        tw.push_back(std::sin(angle));
      }
    }
    twiddles_.push_back(std::move(tw));
  }
}

void LaneFft::transform(double* data, size_t re, size_t im) {
  const LaneKernels& k = lane_kernels();
  double* x = data;
  double* y = scratch_.data();
  size_t len = n_, stride = 1;
  for (const auto& tw : twiddles_) {
    k.pass4(len, stride, x, y, tw.data(), re, im);
    std::swap(x, y);
    len /= 4;
    stride *= 4;
  }
  if (len == 2) {
    k.pass2(stride, x, y);
    std::swap(x, y);
  }
  if (x != data) std::copy_n(x, n_ * kSignals, data);
}

// Depth first while a block is larger than the first-level cache, then pass by pass.
constexpr size_t kCacheElements = 256;

void LaneFft::dif(double* data, size_t n, size_t pass) {
  const LaneKernels& k = lane_kernels();
  if (n > kCacheElements) {
    k.dif4(n, 1, data, twiddles_[pass].data(), kLanes, 0);
    for (size_t b = 0; b < 4; ++b) dif(data + b * (n / 4) * kSignals, n / 4, pass + 1);
    return;
  }
  size_t len = n;
  for (; len >= 4; len /= 4) k.dif4(len, n / len, data, twiddles_[pass++].data(), kLanes, 0);
  if (len == 2) k.butterfly2(n / 2, data);
}

void LaneFft::dit(double* data, size_t n, size_t pass) {
  const LaneKernels& k = lane_kernels();
  if (n > kCacheElements) {
    for (size_t b = 0; b < 4; ++b) dit(data + b * (n / 4) * kSignals, n / 4, pass + 1);
    k.dit4(n, 1, data, twiddles_[pass].data(), 0, kLanes);
    return;
  }
  size_t len = n, last = pass;
  for (; len >= 4; len /= 4) ++last;
  if (len == 2) k.butterfly2(n / 2, data);
  for (len = len == 2 ? 8 : 4; len <= n; len *= 4) k.dit4(len, n / len, data, twiddles_[--last].data(), 0, kLanes);
}

}  // namespace ups::data
