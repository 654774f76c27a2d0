// Discrete cosine transform of type II and its inverse for four complex signals at once (see lanes.h), by one complex FFT of
// the same length (Makhoul 1980). A real signal in each part stays there: the transform is real.
#pragma once
#include <vector>

#include "ups/data/generators/lanes.h"

namespace ups::data {

class LaneDct {
 public:
  explicit LaneDct(size_t n);  // power of two
  size_t size() const { return fft_.size(); }
  void forward(double* data);  // X_k = sum_j x_j cos(pi k (j + 1/2) / n)
  void inverse(double* data);  // inverse(forward(x)) = x

 private:
  LaneFft fft_;
  std::vector<double> cos_, sin_;  // of pi k / 2n
  LaneArray work_;
};

}  // namespace ups::data
