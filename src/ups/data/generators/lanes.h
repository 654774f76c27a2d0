// Eight real signals at once: four SIMD lanes of complex numbers, each lane carrying one signal in its real and another in its
// imaginary part. Every operator of the solvers here maps real fields to real fields (even real symbols, d/dx, pointwise
// squares of each part), so the two never have to be separated.
//
// Element j of an array is 8 doubles: four real parts, then four imaginary parts. Signal q = 2 * lane + part.
#pragma once
#include <cstddef>
#include <vector>

namespace ups::data {

inline constexpr size_t kLanes = 4;
inline constexpr size_t kSignals = 2 * kLanes;  // doubles per element
inline constexpr size_t signal_offset(size_t q) { return (q % 2) * kLanes + q / 2; }

// 64-byte aligned array of doubles.
class LaneArray {
 public:
  explicit LaneArray(size_t elements = 0) { resize(elements); }
  void resize(size_t elements);  // zero-filled
  double* data() { return data_; }
  const double* data() const { return data_; }
  double* at(size_t element) { return data_ + element * kSignals; }
  const double* at(size_t element) const { return data_ + element * kSignals; }
  size_t size() const { return elements_; }
  LaneArray(const LaneArray& other) { *this = other; }
  LaneArray& operator=(const LaneArray& other);
  LaneArray(LaneArray&&) = default;  // the heap block moves along, so data_ stays right; the source must not be used
  LaneArray& operator=(LaneArray&&) = default;

 private:
  std::vector<double> store_;
  double* data_ = nullptr;
  size_t elements_ = 0;
};

// The vector kernels, compiled once for the base instruction set and once for AVX2; neither uses FMA, so both give the same
// bits. n counts elements; coefficient arrays hold one double per element.
struct LaneKernels {
  // One Stockham radix-4 (radix-2) pass: sub-length n, stride s; tw holds w, w^2, w^3 (re, im) for p < n/4.
  void (*pass4)(size_t n, size_t s, const double* x, double* y, const double* tw, size_t re, size_t im);
  void (*pass2)(size_t s, const double* x, double* y);
  // In-place radix-4 pass over `blocks` neighbours of n elements: to digit-reversed order, and back; butterfly2 is radix 2.
  void (*dif4)(size_t n, size_t blocks, double* x, const double* tw, size_t re, size_t im);
  void (*dit4)(size_t n, size_t blocks, double* x, const double* tw, size_t re, size_t im);
  void (*butterfly2)(size_t blocks, double* x);
  void (*square)(size_t n, double* z);  // each part by itself
  // The stages of ETDRK4 with N = -i g f, fused: f is read from grid, the modes of the next stage replace it there.
  void (*stage1)(size_t n, const double* g, const double* e2, const double* q, const double* v, double* grid, double* nv, double* a);
  void (*stage2)(size_t n, const double* g, const double* e2, const double* q, const double* v, double* grid, double* sum);
  void (*stage3)(size_t n, const double* g, const double* e2, const double* q, const double* a, const double* nv, double* grid,
                 double* sum);
  void (*stage4)(size_t n, const double* g, const double* const* coefficients, const double* nv, const double* sum, double* grid,
                 double* v);  // coefficients e, f1, f2, f3
};
const LaneKernels& lane_kernels();       // the fastest this machine runs
const LaneKernels& base_lane_kernels();  // for tests

// Unnormalised complex FFTs of kLanes signals, n a power of two >= 2; forward has exp(-i 2 pi jk/n). One object per thread.
class LaneFft {
 public:
  explicit LaneFft(size_t n);
  size_t size() const { return n_; }
  void forward(double* data) { transform(data, 0, kLanes); }
  void inverse(double* data) { transform(data, kLanes, 0); }  // without 1/n
  // The same for pointwise work between the two: points in digit-reversed order, in place, cache by cache.
  void modes_to_scrambled_points(double* data) { dif(data, n_, 0); }  // as inverse
  void scrambled_points_to_modes(double* data) { dit(data, n_, 0); }  // as forward

 private:
  void transform(double* data, size_t re, size_t im);
  void dif(double* data, size_t n, size_t pass);
  void dit(double* data, size_t n, size_t pass);
  size_t n_;
  std::vector<std::vector<double>> twiddles_;  // per radix-4 pass
  LaneArray scratch_;
};

}  // namespace ups::data
