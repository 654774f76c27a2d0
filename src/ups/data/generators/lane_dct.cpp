#include "ups/data/generators/lane_dct.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ups::data {

LaneDct::LaneDct(size_t n) : fft_(n), work_(n) {
  for (size_t k = 0; k < n; ++k) {
    const double angle = std::numbers::pi * static_cast<double>(k) / static_cast<double>(2 * n);
    cos_.push_back(std::cos(angle));
    sin_.push_back(std::sin(angle));
  }
}

// V = FFT of (x_0, x_2, .., x_3, x_1); X_k = (w V_k + conj(w) V_{n-k}) / 2 with w = exp(-i pi k / 2n), index n - k modulo n.
void LaneDct::forward(double* data) {
  const size_t n = size();
  for (size_t j = 0; j < (n + 1) / 2; ++j) std::copy_n(data + 2 * j * kSignals, kSignals, work_.at(j));
  for (size_t j = 0; j < n / 2; ++j) std::copy_n(data + (2 * j + 1) * kSignals, kSignals, work_.at(n - 1 - j));
  fft_.forward(work_.data());
  for (size_t k = 0; k < n; ++k) {
    const double c = cos_[k] / 2, s = sin_[k] / 2;
    const double *a = work_.at(k), *b = work_.at((n - k) % n);
    double* out = data + k * kSignals;
    for (size_t l = 0; l < kLanes; ++l) {
      const double sr = a[l] + b[l], si = a[kLanes + l] + b[kLanes + l];
      const double dr = a[l] - b[l], di = a[kLanes + l] - b[kLanes + l];
      out[l] = c * sr + s * di;
      out[kLanes + l] = c * si - s * dr;
    }
  }
}

// V_k = conj(w) (X_k - i X_{n-k}), X_n = 0.
void LaneDct::inverse(double* data) {
  const size_t n = size();
  const double scale = 1 / static_cast<double>(n);
  static constexpr double kZero[kSignals] = {};
  for (size_t k = 0; k < n; ++k) {
    const double c = cos_[k] * scale, s = sin_[k] * scale;
    const double *a = data + k * kSignals, *b = k == 0 ? kZero : data + (n - k) * kSignals;
    double* out = work_.at(k);
    for (size_t l = 0; l < kLanes; ++l) {
      const double re = a[l] + b[kLanes + l], im = a[kLanes + l] - b[l];
      out[l] = c * re - s * im;
      out[kLanes + l] = c * im + s * re;
    }
  }
  fft_.inverse(work_.data());
  for (size_t j = 0; j < (n + 1) / 2; ++j) std::copy_n(work_.at(j), kSignals, data + 2 * j * kSignals);
  for (size_t j = 0; j < n / 2; ++j) std::copy_n(work_.at(n - 1 - j), kSignals, data + (2 * j + 1) * kSignals);
}

}  // namespace ups::data
