// u_t + (u^2/2)_x = L u on a periodic interval for eight signals at once; L has a real even symbol (Burgers, Kuramoto-
// Sivashinsky). Fourier pseudo-spectral in space with the 2/3 rule, ETDRK4 in time.
#pragma once
#include <functional>
#include <vector>

#include "ups/data/generators/etdrk4.h"
#include "ups/data/generators/lanes.h"

namespace ups::data {

// Fourier coefficients u_k (with 1/n) of modes 0, 1, .., K, -K, .., -1.
struct FlowState {
  size_t cutoff = 0;  // K
  LaneArray modes;
};

class PeriodicFlow {
 public:
  using Symbol = std::function<double(double wave_number)>;
  // n collocation points (power of two); keeps modes |k| <= n/3. The time step is h.
  PeriodicFlow(size_t n, double length, double h, const Symbol& symbol);
  size_t points() const { return n_; }
  size_t cutoff() const { return cutoff_; }
  void step(FlowState& state, int64_t count);

 private:
  void square_on_grid();  // grid: modes -> FFT(u^2), in place
  size_t n_, cutoff_;
  Etdrk4 etd_;
  std::vector<double> g_;  // k / (2 n), per stored mode
  LaneFft fft_;
  LaneArray grid_, a_, nv_, sum_;
};

// Samples on n equidistant points (element j = point j), n a power of two -> modes up to `cutoff`.
FlowState to_modes(const LaneArray& points, size_t cutoff);
// Values on n equidistant points; n may be smaller than 2 cutoff + 1 (then points are skipped, never aliased differently).
LaneArray to_points(const FlowState& state, size_t n);
// Takes the means out of the modes; they come back in the order of the signals.
std::vector<double> remove_means(FlowState& state);
// Every signal q moved to the right by shift[q] and raised by mean[q].
FlowState shifted(const FlowState& state, double length, const std::vector<double>& shift, const std::vector<double>& mean);
// Truncates or pads with zeros.
FlowState with_cutoff(const FlowState& state, size_t cutoff);
// Largest |u_k| with lo <= |k| <= hi over all signals.
double largest_mode(const FlowState& state, size_t lo, size_t hi);

}  // namespace ups::data
