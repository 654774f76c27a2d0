#include "ups/data/generators/etdrk4.h"

#include <cmath>
#include <complex>
#include <numbers>

namespace ups::data {

Etdrk4::Etdrk4(std::span<const double> eigenvalues, double h) {
  constexpr int kPoints = 32;  // on the upper half circle; real eigenvalues make the lower half the conjugate
  std::vector<std::complex<double>> circle;
  for (int j = 0; j < kPoints; ++j) {
    circle.push_back(std::polar(1.0, std::numbers::pi * (j + 0.5) / kPoints));
  }
  for (const double eigenvalue : eigenvalues) {
    const double lh = eigenvalue * h;
    double sq = 0, s1 = 0, s2 = 0, s3 = 0;
    for (const auto& r : circle) {
      const std::complex<double> z = lh + r, ez = std::exp(z), z3 = z * z * z;
      sq += ((std::exp(0.5 * z) - 1.0) / z).real();
      s1 += ((-4.0 - z + ez * (4.0 - 3.0 * z + z * z)) / z3).real();
      s2 += ((2.0 + z + ez * (z - 2.0)) / z3).real();
      s3 += ((-4.0 - 3.0 * z - z * z + ez * (4.0 - z)) / z3).real();
    }
    e.push_back(std::exp(lh));
    e2.push_back(std::exp(0.5 * lh));
    q.push_back(h * sq / kPoints);
    f1.push_back(h * s1 / kPoints);
    f2.push_back(2 * h * s2 / kPoints);
    f3.push_back(h * s3 / kPoints);
  }
}

}  // namespace ups::data
