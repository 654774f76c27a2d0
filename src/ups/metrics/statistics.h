// Small statistics that several metrics share.
#pragma once
#include <limits>
#include <span>
#include <vector>

namespace ups::metrics {

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();  // "not defined here"

// Ranks 1..n; equal values share the mean of their ranks.
std::vector<double> average_ranks(std::span<const double> values);
// Pearson correlation; NaN when either side is constant or fewer than two values are given.
double pearson(std::span<const double> a, std::span<const double> b);
// Spearman's rho = Pearson correlation of the average ranks.
double spearman(std::span<const double> a, std::span<const double> b);
// Middle value, or the mean of the two middle ones; NaN when empty.
double median(std::vector<double> values);
// 95 % quantile of Student's t: mean +- factor * s * sqrt(1 + 1/M) holds 90 % of new draws of a Gaussian when M draws gave the
// mean and s. freedom = M - 1 >= 1.
double student_t95(int freedom);

}  // namespace ups::metrics
