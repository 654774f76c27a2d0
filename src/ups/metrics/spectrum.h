// Power of a real field by wave number: the bins of fRMSE and of the log-spectrum error (docs/metrics.md).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "ups/core/fft.h"

namespace ups::metrics {

// Bands low, mid, high of PDEBench: wave numbers [0, 4), [4, 12), [12, end).
inline constexpr size_t kBands = 3;
std::array<double, kBands> band_means(std::span<const double> per_bin);  // NaN for a band without bins
// Thirds of the wave numbers 1..last on a logarithmic axis; the mean (k = 0) belongs to none.
std::array<double, kBands> log_band_means(std::span<const double> per_bin);

class Spectrum {
 public:
  explicit Spectrum(const std::vector<int64_t>& grid);
  // 1-D: n/2 + 1. 2-D and 3-D: min(n)/2 radial bins floor(|k|); higher wave numbers are dropped.
  size_t bins() const { return bins_; }
  // Unnormalised |FFT|^2 of one field; the two sums below read it.
  void transform(std::span<const double> field);
  // Adds to each bin the power of PDEBench's fRMSE: 1-D all rfft modes; else only indices i < n/2 on every axis.
  void add_error_bins(std::span<double> sums) const { add(error_bin_, sums); }
  // Adds to each bin the power of all modes, negative wave numbers included (1-D: rfft modes).
  void add_power_bins(std::span<double> sums) const { add(power_bin_, sums); }

 private:
  void add(const std::vector<int32_t>& bin_of, std::span<double> sums) const;
  std::vector<size_t> grid_;
  std::vector<Fft> ffts_;  // one per axis
  size_t cells_ = 1, bins_ = 0;
  std::vector<int32_t> error_bin_, power_bin_;  // per entry of power_; -1 = dropped
  std::vector<double> power_;
  std::vector<std::complex<double>> work_, line_, line_out_;
};

}  // namespace ups::metrics
