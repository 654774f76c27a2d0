// Two sets of fields compared as samples of two distributions, in double precision. Definitions: docs/metrics.md.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ups::metrics {

// Energy distance (Szekely and Rizzo 2013) of two sets of vectors with `size` values each, x [n, size] and y [m, size]:
// 2 mean|x_i - y_j| - mean|x_i - x_j| - mean|y_i - y_j| over all pairs, i = j included (V-statistic), Euclidean norms. 0 for equal
// sets; two sets of n and m draws from one distribution have the mean (1/n + 1/m) E|x - x'|.
double energy_distance(std::span<const float> x, std::span<const float> y, size_t size);

// Mean power per wave number (Spectrum's power bins) of channel c of fields [n, channels, cells].
std::vector<double> mean_power(std::span<const float> fields, const std::vector<int64_t>& grid, size_t channels, size_t c);

// Mean of |log10(p_k / t_k)| over the wave numbers k >= 1 that matter: t_k >= kEnergetic times the largest t_k. NaN without any.
inline constexpr double kEnergetic = 1e-4;
double log_spectrum_error(std::span<const double> p, std::span<const double> t);

}  // namespace ups::metrics
