#include "ups/data/generators/cole_hopf.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace ups::data {

ColeHopf::ColeHopf(const std::function<double(double)>& u0, double mu) : mu_(mu), primitive_(8192) {
  // Three-point Gauss on 8 panels per stored interval: kinks of |u0| then cost about 1e-9.
  constexpr size_t kPanels = 8;
  const size_t n = primitive_.size();
  const double h = 1.0 / static_cast<double>(n * kPanels), node = std::sqrt(0.6) / 2;
  double integral = 0, largest = 0;
  for (size_t j = 0; j < n; ++j) {
    primitive_[j] = integral;
    for (size_t p = 0; p < kPanels; ++p) {
      const double middle = (static_cast<double>(j * kPanels + p) + 0.5) * h;
      const double f0 = u0(middle - node * h), f1 = u0(middle), f2 = u0(middle + node * h);
      integral += h * (5 * f0 + 8 * f1 + 5 * f2) / 18;
      largest = std::max(largest, std::abs(f1));
    }
  }
  mean_ = integral;
  bound_ = largest + std::abs(mean_);
  for (size_t j = 0; j < n; ++j) primitive_[j] -= mean_ * static_cast<double>(j) / static_cast<double>(n);
}

double ColeHopf::operator()(double x, double t) const {
  const double z = x - mean_ * t;
  const auto n = static_cast<int64_t>(primitive_.size());
  const double h = 1.0 / static_cast<double>(n);
  const double reach = bound_ * t + 10 * std::sqrt(2 * mu_ * t);
  const auto first = static_cast<int64_t>(std::floor((z - reach) / h)), last = static_cast<int64_t>(std::ceil((z + reach) / h));
  const auto exponent = [&](int64_t j) {
    const double d = z - static_cast<double>(j) * h;
    return (primitive_[static_cast<size_t>(((j % n) + n) % n)] + d * d / (2 * t)) / (2 * mu_);
  };
  double least = exponent(first);
  for (int64_t j = first; j <= last; ++j) least = std::min(least, exponent(j));
  double top = 0, bottom = 0;
  for (int64_t j = first; j <= last; ++j) {
    const double e = exponent(j) - least;
    if (e > 45) continue;
    const double w = std::exp(-e);
    top += w * (z - static_cast<double>(j) * h);
    bottom += w;
  }
  return mean_ + top / (bottom * t);
}

}  // namespace ups::data
