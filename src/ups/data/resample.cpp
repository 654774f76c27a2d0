#include "ups/data/resample.h"

#include <fmt/format.h>

#include "ups/core/error.h"

namespace ups::data {

Resample::Resample(std::vector<int64_t> grid, int64_t step, bool lowpass)
    : grid_(std::move(grid)), step_(step), lowpass_(lowpass) {
  for (int64_t n : grid_) {
    if (lowpass_ && n % step_ != 0) {
      throw data_error("data.resample",
          fmt::format("lowpass: expected a grid divisible by reduced_resolution {}, found {} cells", step_, n));
    }
    if (step_ > n) throw data_error("data.reduced_resolution",
        fmt::format("expected at most {} (cells of an axis), found {}", n, step_));
  }
}

std::vector<int64_t> Resample::grid() const {
  std::vector<int64_t> g = grid_;
  for (int64_t& n : g) n = (n + step_ - 1) / step_;
  return g;
}

std::vector<double> Resample::axis(const std::vector<double>& x) const {
  std::vector<double> out;
  const size_t step = static_cast<size_t>(step_);
  for (size_t i = 0; i < x.size(); i += step) {
    double sum = 0;
    for (size_t k = 0; k < step && lowpass_; ++k) sum += x[i + k];
    out.push_back(lowpass_ ? sum / static_cast<double>(step) : x[i]);
  }
  return out;
}

void Resample::apply(std::span<const float> in, std::span<float> out, int64_t images) const {
  // Any number of axes as three: missing ones have one cell and step 1.
  int64_t n[3] = {1, 1, 1}, step[3] = {1, 1, 1};
  for (size_t a = 0; a < grid_.size(); ++a) {
    n[3 - grid_.size() + a] = grid_[a];
    step[3 - grid_.size() + a] = step_;
  }
  size_t o = 0;
  const float* image = in.data();
  for (int64_t m = 0; m < images; ++m, image += n[0] * n[1] * n[2]) {
    for (int64_t i = 0; i < n[0]; i += step[0]) {
      for (int64_t j = 0; j < n[1]; j += step[1]) {
        for (int64_t k = 0; k < n[2]; k += step[2]) {
          if (!lowpass_) {
            out[o++] = image[(i * n[1] + j) * n[2] + k];
            continue;
          }
          double sum = 0;
          for (int64_t a = i; a < i + step[0]; ++a) {
            for (int64_t b = j; b < j + step[1]; ++b) {
              for (int64_t c = k; c < k + step[2]; ++c) sum += static_cast<double>(image[(a * n[1] + b) * n[2] + c]);
            }
          }
          out[o++] = static_cast<float>(sum / static_cast<double>(step[0] * step[1] * step[2]));
        }
      }
    }
  }
}

}  // namespace ups::data
