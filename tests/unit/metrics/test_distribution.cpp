// Distances of distributions against values known in closed form.
#include <cmath>

#include "test_common.h"
#include "ups/core/rng.h"
#include "ups/metrics/distribution.h"

using namespace ups::metrics;

namespace {

const double kPi = std::acos(-1.0);

std::vector<float> gaussians(uint64_t key, size_t n, double mean, double deviation) {
  ups::RandomStream random(key);
  std::vector<float> x(n);
  for (float& v : x) v = static_cast<float>(mean + deviation * random.normal());
  return x;
}

// E|N(m, s^2)|.
double mean_absolute(double m, double s) {
  return s * std::sqrt(2 / kPi) * std::exp(-m * m / (2 * s * s)) + m * std::erf(m / (s * std::sqrt(2.0)));
}

}  // namespace

TEST_CASE("energy distance of two Gaussians is the known one", "[metrics]") {
  constexpr size_t n = 2000;
  const auto x = gaussians(1, n, 0, 1);
  for (const auto& [mean, deviation] : {std::pair{1.0, 1.0}, {0.0, 2.0}, {-0.5, 0.5}}) {
    const double s = std::sqrt(1 + deviation * deviation);
    const double expected = 2 * mean_absolute(mean, s) - mean_absolute(0, std::sqrt(2.0)) - mean_absolute(0, deviation * std::sqrt(2.0));
    CHECK(energy_distance(x, gaussians(2, n, mean, deviation), 1) == Approx(expected).epsilon(0.15));
  }
}

TEST_CASE("energy distance of point sets equals the sum over pairs", "[metrics]") {
  // (0,0) and (3,4) against (0,0): cross (0 + 5) / 2, within x 2 * 5 / 4, within y 0.
  const std::vector<float> x{0, 0, 3, 4}, y{0, 0};
  CHECK(energy_distance(x, y, 2) == Approx(2 * 2.5 - 2.5));
  CHECK(energy_distance(x, x, 2) == Approx(0).margin(1e-12));
  // Equal distributions: (1/n + 1/m) E|x - x'| in the mean over draws; for N(0, 1) E|x - x'| = 2 / sqrt(pi).
  double sum = 0;
  for (uint64_t draw = 0; draw < 60; ++draw) sum += energy_distance(gaussians(10 + 2 * draw, 40, 0, 1), gaussians(11 + 2 * draw, 80, 0, 1), 1);
  CHECK(sum / 60 == Approx((1.0 / 40 + 1.0 / 80) * 2 / std::sqrt(kPi)).epsilon(0.15));
}

TEST_CASE("spectrum error counts the wave numbers that hold energy", "[metrics]") {
  constexpr size_t cells = 32;
  std::vector<float> truth, sample;  // two fields of two channels; channel 1 holds k = 2 and a k = 9 below the floor
  for (int i = 0; i < 2; ++i)
    for (int c = 0; c < 2; ++c)
      for (size_t x = 0; x < cells; ++x) {
        const double angle = 2 * kPi * static_cast<double>(x) / cells;
        truth.push_back(static_cast<float>(c * (std::sin(2 * angle + i) + 1e-3 * std::cos(9 * angle))));
        sample.push_back(static_cast<float>(c * (2 * std::sin(2 * angle) + 0.5 * std::cos(9 * angle))));
      }
  const auto t = mean_power(truth, {cells}, 2, 1), p = mean_power(sample, {cells}, 2, 1);
  CHECK(t[2] == Approx(16.0 * 16.0));
  CHECK(mean_power(truth, {cells}, 2, 0)[2] == Approx(0).margin(1e-12));
  CHECK(log_spectrum_error(p, t) == Approx(std::log10(4.0)));
  CHECK(log_spectrum_error(t, t) == 0);
  CHECK(std::isnan(log_spectrum_error(p, std::vector<double>(t.size(), 0.0))));
}
