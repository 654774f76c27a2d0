#include "ups/metrics/spectrum.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

namespace ups::metrics {
namespace {

double mean_of(std::span<const double> values, size_t first, size_t end) {
  end = std::min(end, values.size());
  if (first >= end) return std::numeric_limits<double>::quiet_NaN();
  double sum = 0;
  for (size_t k = first; k < end; ++k) sum += values[k];
  return sum / static_cast<double>(end - first);
}

}  // namespace

std::array<double, kBands> band_means(std::span<const double> per_bin) {
  return {mean_of(per_bin, 0, 4), mean_of(per_bin, 4, 12), mean_of(per_bin, 12, per_bin.size())};
}

std::array<double, kBands> log_band_means(std::span<const double> per_bin) {
  const double last = static_cast<double>(per_bin.size()) - 1;
  const auto edge = [&](double share) { return static_cast<size_t>(std::ceil(std::pow(last, share) - 1e-9)); };
  return {mean_of(per_bin, 1, edge(1.0 / 3)), mean_of(per_bin, edge(1.0 / 3), edge(2.0 / 3)),
          mean_of(per_bin, edge(2.0 / 3), per_bin.size())};
}

Spectrum::Spectrum(const std::vector<int64_t>& grid) {
  assert(!grid.empty());
  size_t longest = 1, shortest = std::numeric_limits<size_t>::max();
  for (int64_t g : grid) {
    const auto n = static_cast<size_t>(g);
    grid_.push_back(n);
    ffts_.emplace_back(n);
    cells_ *= n;
    longest = std::max(longest, n);
    shortest = std::min(shortest, n);
  }
  line_.resize(longest);
  line_out_.resize(longest);
  if (grid_.size() == 1) {
    bins_ = grid_[0] / 2 + 1;
    power_.resize(bins_);
    for (size_t k = 0; k < bins_; ++k) error_bin_.push_back(static_cast<int32_t>(k));
    power_bin_ = error_bin_;
    return;
  }
  bins_ = shortest / 2;
  power_.resize(cells_);
  work_.resize(cells_);
  error_bin_.assign(cells_, -1);
  power_bin_.assign(cells_, -1);
  for (size_t cell = 0; cell < cells_; ++cell) {
    double squares = 0, wrapped_squares = 0;
    bool first_orthant = true;
    size_t rest = cell;
    for (size_t axis = grid_.size(); axis-- > 0;) {
      const size_t i = rest % grid_[axis];
      rest /= grid_[axis];
      const auto wrapped = static_cast<double>(std::min(i, grid_[axis] - i));
      squares += static_cast<double>(i) * static_cast<double>(i);
      wrapped_squares += wrapped * wrapped;
      first_orthant = first_orthant && i < grid_[axis] / 2;
    }
    const auto bin = static_cast<size_t>(std::sqrt(squares)), wrapped_bin = static_cast<size_t>(std::sqrt(wrapped_squares));
    if (first_orthant && bin < bins_) error_bin_[cell] = static_cast<int32_t>(bin);
    if (wrapped_bin < bins_) power_bin_[cell] = static_cast<int32_t>(wrapped_bin);
  }
}

void Spectrum::transform(std::span<const double> field) {
  assert(field.size() == cells_);
  if (grid_.size() == 1) {
    const std::span<std::complex<double>> out(line_out_.data(), bins_);
    ffts_[0].rfft(field, out);
    for (size_t k = 0; k < bins_; ++k) power_[k] = std::norm(out[k]);
    return;
  }
  for (size_t i = 0; i < cells_; ++i) work_[i] = field[i];
  size_t stride = 1;
  for (size_t axis = grid_.size(); axis-- > 0;) {
    const size_t n = grid_[axis];
    const std::span<std::complex<double>> in(line_.data(), n), out(line_out_.data(), n);
    for (size_t start = 0; start < cells_; ++start) {
      if (start / stride % n != 0) continue;
      for (size_t i = 0; i < n; ++i) in[i] = work_[start + i * stride];
      ffts_[axis].forward(in, out);
      for (size_t i = 0; i < n; ++i) work_[start + i * stride] = out[i];
    }
    stride *= n;
  }
  for (size_t i = 0; i < cells_; ++i) power_[i] = std::norm(work_[i]);
}

void Spectrum::add(const std::vector<int32_t>& bin_of, std::span<double> sums) const {
  assert(sums.size() == bins_);
  for (size_t i = 0; i < power_.size(); ++i) {
    if (bin_of[i] >= 0) sums[static_cast<size_t>(bin_of[i])] += power_[i];
  }
}

}  // namespace ups::metrics
