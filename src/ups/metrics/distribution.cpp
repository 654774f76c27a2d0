#include "ups/metrics/distribution.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "ups/metrics/spectrum.h"
#include "ups/metrics/statistics.h"

namespace ups::metrics {
namespace {

double distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += d * d;
  }
  return std::sqrt(sum);
}

double mean_distance(std::span<const float> x, std::span<const float> y, size_t size) {
  const size_t n = x.size() / size, m = y.size() / size;
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < m; ++j) sum += distance(x.subspan(i * size, size), y.subspan(j * size, size));
  return sum / (static_cast<double>(n) * static_cast<double>(m));
}

double mean_distance_within(std::span<const float> x, size_t size) {  // half of the pairs: the other half is equal
  const size_t n = x.size() / size;
  double sum = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t j = i + 1; j < n; ++j) sum += distance(x.subspan(i * size, size), x.subspan(j * size, size));
  return 2 * sum / (static_cast<double>(n) * static_cast<double>(n));
}

}  // namespace

double energy_distance(std::span<const float> x, std::span<const float> y, size_t size) {
  assert(size > 0 && !x.empty() && !y.empty() && x.size() % size == 0 && y.size() % size == 0);
  return 2 * mean_distance(x, y, size) - mean_distance_within(x, size) - mean_distance_within(y, size);
}

std::vector<double> mean_power(std::span<const float> fields, const std::vector<int64_t>& grid, size_t channels, size_t c) {
  size_t cells = 1;
  for (int64_t g : grid) cells *= static_cast<size_t>(g);
  assert(c < channels && !fields.empty() && fields.size() % (channels * cells) == 0);
  const size_t n = fields.size() / (channels * cells);
  Spectrum spectrum(grid);
  std::vector<double> power(spectrum.bins(), 0.0), field(cells);
  for (size_t i = 0; i < n; ++i) {
    const auto one = fields.subspan((i * channels + c) * cells, cells);
    std::copy(one.begin(), one.end(), field.begin());
    spectrum.transform(field);
    spectrum.add_power_bins(power);
  }
  for (double& p : power) p /= static_cast<double>(n);
  return power;
}

double log_spectrum_error(std::span<const double> p, std::span<const double> t) {
  assert(p.size() == t.size());
  if (t.size() < 2) return kNan;
  const double floor = kEnergetic * *std::max_element(t.begin() + 1, t.end());
  double sum = 0, count = 0;
  for (size_t k = 1; k < t.size(); ++k) {
    if (!(t[k] >= floor && t[k] > 0)) continue;
    sum += std::abs(std::log10(p[k] / t[k]));
    count += 1;
  }
  return count > 0 ? sum / count : kNan;
}

}  // namespace ups::metrics
