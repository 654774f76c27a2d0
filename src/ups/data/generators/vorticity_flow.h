// Incompressible flow on a periodic square, vorticity form, for eight signals at once (lanes.h):
//   w_t + u . grad w = nu lap w - r w + f,   (u, v) = (psi_y, -psi_x),   lap psi = -w.
// Fourier pseudo-spectral with the 2/3 rule, so every product is exact in the modes that are kept, and ETDRK4 in time.
#pragma once
#include <complex>
#include <cstdint>
#include <utility>
#include <vector>

#include "ups/data/generators/etdrk4.h"
#include "ups/data/generators/lanes.h"

namespace ups::data {

// a cos(2 pi (kx x + ky y) / L) + b sin(..)
struct Wave {
  int kx, ky;
  double a, b;
};

class VorticityFlow {
 public:
  // n collocation points per axis (power of two >= 4) of a square of side `length`; keeps modes |kx|, |ky| <= n/3.
  VorticityFlow(size_t n, double length, double nu, double drag, double dt, const std::vector<Wave>& force);
  size_t points() const { return n_; }
  int cutoff() const { return static_cast<int>(cutoff_); }
  // Adds a wave to signal q; waves beyond the cutoff are dropped, the mean (0, 0) is not a wave.
  void add_wave(size_t q, const Wave& wave);
  void step(int64_t count);
  // Values at x = i L/nx, y = j L/nx, element j nx + i; nx divides points().
  LaneArray vorticity(size_t nx) const;
  std::pair<LaneArray, LaneArray> velocity(size_t nx) const;

 private:
  size_t index(int kx, int ky) const;
  void velocity_row(const LaneArray& modes, size_t row, double* u, double* v) const;
  void advection(const LaneArray& modes, LaneArray& out);
  LaneArray to_points(const LaneArray& modes, size_t nx) const;

  size_t n_, cutoff_, m_;       // m_ = 2 cutoff + 1 modes per axis in the order 0..K, -K..-1
  size_t pitch_;                // elements between rows of the work arrays
  std::vector<double> wave_;    // 2 pi k / L of each kept mode of one axis
  std::vector<size_t> slot_;    // where that mode stands among n
  std::vector<std::pair<size_t, std::complex<double>>> force_;  // (mode, its coefficient)
  Etdrk4 etd_;                  // per mode, [ky, kx]
  LaneFft fft_;
  LaneArray modes_, a_, b_, nv_, na_, nb_, nc_;  // [ky, kx]
  LaneArray u_, v_, column_u_, column_v_;
};

}  // namespace ups::data
