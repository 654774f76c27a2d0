#include "ups/metrics/statistics.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

namespace ups::metrics {
namespace {
}

std::vector<double> average_ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t i, size_t j) { return values[i] < values[j]; });
  std::vector<double> ranks(values.size());
  for (size_t i = 0; i < order.size();) {
    size_t end = i + 1;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double rank = 0.5 * static_cast<double>(i + 1 + end);
    for (; i < end; ++i) ranks[order[i]] = rank;
  }
  return ranks;
}

double pearson(std::span<const double> a, std::span<const double> b) {
  assert(a.size() == b.size());
  const size_t n = a.size();
  if (n < 2) return kNan;
  double mean_a = 0, mean_b = 0;
  for (size_t i = 0; i < n; ++i) mean_a += a[i], mean_b += b[i];
  mean_a /= static_cast<double>(n), mean_b /= static_cast<double>(n);
  double aa = 0, bb = 0, ab = 0;
  for (size_t i = 0; i < n; ++i) {
    const double da = a[i] - mean_a, db = b[i] - mean_b;
    aa += da * da, bb += db * db, ab += da * db;
  }
  return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNan;
}

double spearman(std::span<const double> a, std::span<const double> b) {
  const std::vector<double> ranks_a = average_ranks(a), ranks_b = average_ranks(b);
  return pearson(ranks_a, ranks_b);
}

double median(std::vector<double> values) {
  if (values.empty()) return kNan;
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 == 1 ? values[n / 2] : 0.5 * (values[n / 2 - 1] + values[n / 2]);
}

double student_t95(int freedom) {
  assert(freedom >= 1);
  static constexpr std::array<double, 8> kSmall = {6.313751515, 2.919985580, 2.353363435, 2.131846786,
                                                   2.015048373, 1.943180281, 1.894578605, 1.859548038};
  if (freedom <= static_cast<int>(kSmall.size())) return kSmall[static_cast<size_t>(freedom - 1)];
  // Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5); better than 1e-5 from 9 degrees of freedom on.
  const double z = 1.6448536269514722, v = freedom;
  const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z, z9 = z7 * z * z;
  return z + (z3 + z) / (4 * v) + (5 * z5 + 16 * z3 + 3 * z) / (96 * v * v) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * v * v * v) +
         (79 * z9 + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * v * v * v * v);
}

}  // namespace ups::metrics
