// Inner loops over samples; kernels.cpp is compiled for speed.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

namespace ups::data {

// y = (x - shift) / scale in double, rounded once.
void normalise_row(const float* in, float* out, size_t n, double shift, double scale);
// y = x * scale + shift in double, rounded once.
void restore_row(float* x, size_t n, double shift, double scale);
bool all_finite(std::span<const float> x);
// Sum and sum of squared distances from the mean.
struct Moments {
  double count = 0, mean = 0, m2 = 0;
  void merge(const Moments& o);  // Chan et al. 1983
};
Moments moments(const float* x, size_t n);
// Sum of (b - a)^2.
double squared_distance(const float* a, const float* b, size_t n);

}  // namespace ups::data
