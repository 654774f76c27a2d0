#include "ups/data/generators/periodic_flow.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <complex>
#include <numbers>
#include <utility>

namespace ups::data {
namespace {

// Spreads the stored modes over a zero-filled array of n >= 2 cutoff + 1 elements in FFT order.
void scatter(const LaneArray& modes, size_t cutoff, size_t n, LaneArray& grid) {
  const size_t head = (cutoff + 1) * kSignals, tail = cutoff * kSignals;
  std::copy_n(modes.data(), head, grid.data());
  std::fill(grid.data() + head, grid.data() + n * kSignals - tail, 0.0);
  std::copy_n(modes.data() + head, tail, grid.data() + n * kSignals - tail);
}

}  // namespace

PeriodicFlow::PeriodicFlow(size_t n, double length, double h, const Symbol& symbol)
    : n_(n), cutoff_(n / 3), fft_(n), grid_(n) {
  std::vector<double> eigenvalues;
  const size_t count = 2 * cutoff_ + 1;
  for (size_t m = 0; m < count; ++m) {
    const double mode = m <= cutoff_ ? static_cast<double>(m) : static_cast<double>(m) - static_cast<double>(count);
    const double k = 2 * std::numbers::pi / length * mode;
    eigenvalues.push_back(symbol(k));
    g_.push_back(0.5 * k / static_cast<double>(n));
  }
  etd_ = Etdrk4(eigenvalues, h);
  for (LaneArray* array : {&a_, &nv_, &sum_}) array->resize(count);
}

void PeriodicFlow::square_on_grid() {
  std::fill(grid_.at(cutoff_ + 1), grid_.at(n_ - cutoff_), 0.0);
  fft_.modes_to_scrambled_points(grid_.data());
  lane_kernels().square(n_, grid_.data());
  fft_.scrambled_points_to_modes(grid_.data());
}

void PeriodicFlow::step(FlowState& state, int64_t count) {
  assert(state.cutoff == cutoff_);
  const LaneKernels& k = lane_kernels();
  scatter(state.modes, cutoff_, n_, grid_);
  // Modes 0..K, then -K..-1: where each part starts among the modes and on the grid, and how long it is.
  struct Part {
    size_t mode, point, count;
  };
  const Part parts[] = {{0, 0, cutoff_ + 1}, {cutoff_ + 1, n_ - cutoff_, cutoff_}};
  for (int64_t i = 0; i < count; ++i) {
    square_on_grid();
    for (const auto& [m, p, n] : parts) {
      k.stage1(n, &g_[m], &etd_.e2[m], &etd_.q[m], state.modes.at(m), grid_.at(p), nv_.at(m), a_.at(m));
    }
    square_on_grid();
    for (const auto& [m, p, n] : parts) {
      k.stage2(n, &g_[m], &etd_.e2[m], &etd_.q[m], state.modes.at(m), grid_.at(p), sum_.at(m));
    }
    square_on_grid();
    for (const auto& [m, p, n] : parts) {
      k.stage3(n, &g_[m], &etd_.e2[m], &etd_.q[m], a_.at(m), nv_.at(m), grid_.at(p), sum_.at(m));
    }
    square_on_grid();
    for (const auto& [m, p, n] : parts) {
      const double* last[] = {&etd_.e[m], &etd_.f1[m], &etd_.f2[m], &etd_.f3[m]};
      k.stage4(n, &g_[m], last, nv_.at(m), sum_.at(m), grid_.at(p), state.modes.at(m));
    }
  }
}

std::vector<double> remove_means(FlowState& state) {
  std::vector<double> means;
  for (size_t q = 0; q < kSignals; ++q) means.push_back(std::exchange(state.modes.at(0)[signal_offset(q)], 0.0));
  return means;
}

// A lane holds Z = A + iB of two real signals: A_k = (Z_k + conj(Z_-k))/2, B_k = (Z_k - conj(Z_-k))/2i.
FlowState shifted(const FlowState& state, double length, const std::vector<double>& shift, const std::vector<double>& mean) {
  using Complex = std::complex<double>;
  FlowState out = state;
  for (size_t q = 0; q < kSignals; ++q) out.modes.at(0)[signal_offset(q)] += mean[q];
  for (size_t m = 1; m <= state.cutoff; ++m) {
    const double *plus = state.modes.at(m), *minus = state.modes.at(state.modes.size() - m);
    double *to_plus = out.modes.at(m), *to_minus = out.modes.at(state.modes.size() - m);
    const double k = 2 * std::numbers::pi / length * static_cast<double>(m);
    for (size_t l = 0; l < kLanes; ++l) {
      const Complex z(plus[l], plus[kLanes + l]), w(minus[l], -minus[kLanes + l]);
      const Complex a = 0.5 * (z + w) * std::polar(1.0, -k * shift[2 * l]);
      const Complex b = Complex(0, -0.5) * (z - w) * std::polar(1.0, -k * shift[2 * l + 1]);
      const Complex p = a + Complex(0, 1) * b, n = std::conj(a) + Complex(0, 1) * std::conj(b);
      to_plus[l] = p.real();
      to_plus[kLanes + l] = p.imag();
      to_minus[l] = n.real();
      to_minus[kLanes + l] = n.imag();
    }
  }
  return out;
}

FlowState to_modes(const LaneArray& points, size_t cutoff) {
  const size_t n = points.size();
  assert(n > 2 * cutoff);
  LaneArray grid = points;
  LaneFft(n).forward(grid.data());
  FlowState s{cutoff, LaneArray(2 * cutoff + 1)};
  std::copy_n(grid.data(), (cutoff + 1) * kSignals, s.modes.data());
  std::copy_n(grid.at(n - cutoff), cutoff * kSignals, s.modes.at(cutoff + 1));
  const double scale = 1 / static_cast<double>(n);
  for (size_t i = 0; i < s.modes.size() * kSignals; ++i) s.modes.data()[i] *= scale;
  return s;
}

LaneArray to_points(const FlowState& state, size_t n) {
  const size_t fine = std::max(n, std::bit_ceil(2 * state.cutoff + 2));
  assert(fine % n == 0);
  LaneArray grid(fine);
  scatter(state.modes, state.cutoff, fine, grid);
  LaneFft(fine).inverse(grid.data());
  if (fine == n) return grid;
  LaneArray out(n);
  for (size_t j = 0; j < n; ++j) std::copy_n(grid.at(j * (fine / n)), kSignals, out.at(j));
  return out;
}

FlowState with_cutoff(const FlowState& state, size_t cutoff) {
  FlowState out{cutoff, LaneArray(2 * cutoff + 1)};
  const size_t keep = std::min(cutoff, state.cutoff);
  std::copy_n(state.modes.data(), (keep + 1) * kSignals, out.modes.data());
  std::copy_n(state.modes.at(state.modes.size() - keep), keep * kSignals, out.modes.at(out.modes.size() - keep));
  return out;
}

double largest_mode(const FlowState& state, size_t lo, size_t hi) {
  double largest = 0;
  const auto scan = [&](size_t element) {
    for (size_t q = 0; q < kSignals; ++q) largest = std::max(largest, std::abs(state.modes.at(element)[q]));
  };
  for (size_t k = lo; k <= std::min(hi, state.cutoff); ++k) {
    scan(k);
    if (k > 0) scan(state.modes.size() - k);
  }
  return largest;
}

}  // namespace ups::data
