#include "ups/data/generators/periodic_flow.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <numbers>

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
  for (LaneArray* array : {&a_, &b_, &c_, &nv_, &na_, &nb_, &nc_}) array->resize(count);
}

void PeriodicFlow::nonlinear(const LaneArray& modes, LaneArray& out) {
  const LaneKernels& k = lane_kernels();
  scatter(modes, cutoff_, n_, grid_);
  fft_.inverse(grid_.data());
  k.square(n_, grid_.data());
  fft_.forward(grid_.data());
  k.flux(cutoff_ + 1, g_.data(), grid_.data(), out.data());
  k.flux(cutoff_, g_.data() + cutoff_ + 1, grid_.at(n_ - cutoff_), out.at(cutoff_ + 1));
}

void PeriodicFlow::step(FlowState& state, int64_t count) {
  assert(state.cutoff == cutoff_);
  const LaneKernels& k = lane_kernels();
  const size_t m = 2 * cutoff_ + 1;
  const double* last[4] = {etd_.e.data(), etd_.f1.data(), etd_.f2.data(), etd_.f3.data()};
  const double *e2 = etd_.e2.data(), *q = etd_.q.data();
  LaneArray& v = state.modes;
  for (int64_t i = 0; i < count; ++i) {
    nonlinear(v, nv_);
    k.combine2(m, e2, v.data(), q, nv_.data(), a_.data());
    nonlinear(a_, na_);
    k.combine2(m, e2, v.data(), q, na_.data(), b_.data());
    nonlinear(b_, nb_);
    k.stage_c(m, e2, a_.data(), q, nb_.data(), nv_.data(), c_.data());
    nonlinear(c_, nc_);
    k.finish(m, last, v.data(), nv_.data(), na_.data(), nb_.data(), nc_.data());
  }
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
