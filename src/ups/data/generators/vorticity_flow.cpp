#include "ups/data/generators/vorticity_flow.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>

namespace ups::data {
namespace {

// i s times one element, four complex numbers.
void scaled_by_i(double s, const double* in, double* out) {
  for (size_t l = 0; l < kLanes; ++l) {
    out[l] = -s * in[kLanes + l];
    out[kLanes + l] = s * in[l];
  }
}

}  // namespace

VorticityFlow::VorticityFlow(size_t n, double length, double nu, double drag, double dt, const std::vector<Wave>& force)
    : n_(n), cutoff_(n / 3), m_(2 * cutoff_ + 1), pitch_(n + 1), fft_(n) {
  for (size_t k = 0; k < m_; ++k) {
    const bool negative = k > cutoff_;
    const double mode = static_cast<double>(k) - (negative ? static_cast<double>(m_) : 0.0);
    wave_.push_back(2 * std::numbers::pi / length * mode);
    slot_.push_back(negative ? n_ - m_ + k : k);
  }
  std::vector<double> symbol;
  for (const double ky : wave_) {
    for (const double kx : wave_) symbol.push_back(-nu * (kx * kx + ky * ky) - drag);
  }
  etd_ = Etdrk4(symbol, dt);
  for (const Wave& w : force) {
    assert(std::abs(w.kx) <= cutoff() && std::abs(w.ky) <= cutoff());
    const std::complex<double> half(0.5 * w.a, -0.5 * w.b);
    force_.emplace_back(index(w.kx, w.ky), half);
    force_.emplace_back(index(-w.kx, -w.ky), std::conj(half));
  }
  for (LaneArray* f : {&modes_, &a_, &b_, &nv_, &na_, &nb_, &nc_}) f->resize(m_ * m_);
  // One element more per row: rows a power of two apart would share cache sets in the column pass.
  for (LaneArray* f : {&u_, &v_}) f->resize(m_ * pitch_);
  for (LaneArray* f : {&column_u_, &column_v_}) f->resize(n_);
}

size_t VorticityFlow::index(int kx, int ky) const {
  const auto m = static_cast<int>(m_);
  return static_cast<size_t>((ky + m) % m * m + (kx + m) % m);
}

void VorticityFlow::add_wave(size_t q, const Wave& w) {
  if (std::abs(w.kx) > cutoff() || std::abs(w.ky) > cutoff()) return;
  assert(w.kx != 0 || w.ky != 0);
  double *plus = modes_.at(index(w.kx, w.ky)) + q / 2, *minus = modes_.at(index(-w.kx, -w.ky)) + q / 2;
  // (a - i b)/2 at k and its conjugate at -k; signals in the imaginary part carry a factor i.
  if (q % 2 == 0) {
    plus[0] += 0.5 * w.a, plus[kLanes] -= 0.5 * w.b;
    minus[0] += 0.5 * w.a, minus[kLanes] += 0.5 * w.b;
  } else {
    plus[0] += 0.5 * w.b, plus[kLanes] += 0.5 * w.a;
    minus[0] -= 0.5 * w.b, minus[kLanes] += 0.5 * w.a;
  }
}

// u = i ky psi, v = -i kx psi with psi = w / k^2 for one ky, spread over n zero-filled elements.
void VorticityFlow::velocity_row(const LaneArray& modes, size_t row, double* u, double* v) const {
  const size_t gap = (cutoff_ + 1) * kSignals, end = (n_ - cutoff_) * kSignals;
  std::fill(u + gap, u + end, 0.0);
  std::fill(v + gap, v + end, 0.0);
  const double ky = wave_[row];
  for (size_t k = 0; k < m_; ++k) {
    const double kx = wave_[k], square = kx * kx + ky * ky, inverse = square > 0 ? 1 / square : 0;
    const double* w = modes.at(row * m_ + k);
    scaled_by_i(ky * inverse, w, u + slot_[k] * kSignals);
    scaled_by_i(-kx * inverse, w, v + slot_[k] * kSignals);
  }
}

// -u . grad w + f = (d_yy - d_xx)(u v) + d_xy (u^2 - v^2) + f: the curl of the momentum fluxes needs two transforms each way.
// Points only meet points, so no transform has to restore their order.
void VorticityFlow::advection(const LaneArray& modes, LaneArray& out) {
  for (size_t row = 0; row < m_; ++row) {
    double *u = u_.at(row * pitch_), *v = v_.at(row * pitch_);
    velocity_row(modes, row, u, v);
    fft_.modes_to_scrambled_points(u);
    fft_.modes_to_scrambled_points(v);
  }
  for (size_t x = 0; x < n_; ++x) {
    for (const auto& [rows, column] : {std::pair(&u_, &column_u_), std::pair(&v_, &column_v_)}) {
      std::fill(column->at(cutoff_ + 1), column->at(n_ - cutoff_), 0.0);
      for (size_t k = 0; k < m_; ++k) std::copy_n(rows->at(k * pitch_ + x), kSignals, column->at(slot_[k]));
      fft_.modes_to_scrambled_points(column->data());
    }
    double *u = column_u_.data(), *v = column_v_.data();
    for (size_t i = 0; i < n_ * kSignals; ++i) {
      const double product = u[i] * v[i], difference = u[i] * u[i] - v[i] * v[i];
      u[i] = product;
      v[i] = difference;
    }
    for (const auto& [rows, column] : {std::pair(&u_, &column_u_), std::pair(&v_, &column_v_)}) {
      fft_.scrambled_points_to_modes(column->data());
      for (size_t k = 0; k < m_; ++k) std::copy_n(column->at(slot_[k]), kSignals, rows->at(k * pitch_ + x));
    }
  }
  const double scale = 1 / static_cast<double>(n_ * n_);
  for (size_t row = 0; row < m_; ++row) {
    double *product = u_.at(row * pitch_), *difference = v_.at(row * pitch_);
    fft_.scrambled_points_to_modes(product);
    fft_.scrambled_points_to_modes(difference);
    const double ky = wave_[row];
    for (size_t k = 0; k < m_; ++k) {
      const double kx = wave_[k], p = scale * (kx * kx - ky * ky), d = -scale * kx * ky;
      const double *uv = product + slot_[k] * kSignals, *uu = difference + slot_[k] * kSignals;
      double* to = out.at(row * m_ + k);
      for (size_t l = 0; l < kSignals; ++l) to[l] = p * uv[l] + d * uu[l];
    }
  }
  for (const auto& [mode, f] : force_) {  // the same real field in both parts: f (1 + i)
    double* to = out.at(mode);
    for (size_t l = 0; l < kLanes; ++l) {
      to[l] += f.real() - f.imag();
      to[kLanes + l] += f.real() + f.imag();
    }
  }
}

void VorticityFlow::step(int64_t count) {
  const auto each = [](const LaneArray& f, auto&& formula) {
    for (size_t k = 0; k < f.size(); ++k) {
      for (size_t l = k * kSignals; l < (k + 1) * kSignals; ++l) formula(k, l);
    }
  };
  const double *e = etd_.e.data(), *e2 = etd_.e2.data(), *q = etd_.q.data();
  const double *f1 = etd_.f1.data(), *f2 = etd_.f2.data(), *f3 = etd_.f3.data();
  double *w = modes_.data(), *a = a_.data(), *b = b_.data();
  const double *nv = nv_.data(), *na = na_.data(), *nb = nb_.data(), *nc = nc_.data();
  for (int64_t i = 0; i < count; ++i) {
    advection(modes_, nv_);
    each(modes_, [&](size_t k, size_t l) { a[l] = e2[k] * w[l] + q[k] * nv[l]; });
    advection(a_, na_);
    each(modes_, [&](size_t k, size_t l) { b[l] = e2[k] * w[l] + q[k] * na[l]; });
    advection(b_, nb_);
    each(modes_, [&](size_t k, size_t l) { b[l] = e2[k] * a[l] + q[k] * (2 * nb[l] - nv[l]); });
    advection(b_, nc_);
    each(modes_, [&](size_t k, size_t l) { w[l] = e[k] * w[l] + f1[k] * nv[l] + f2[k] * (na[l] + nb[l]) + f3[k] * nc[l]; });
  }
}

LaneArray VorticityFlow::to_points(const LaneArray& modes, size_t nx) const {
  assert(n_ % nx == 0);
  const size_t skip = n_ / nx;
  LaneFft fft(n_);
  LaneArray rows(m_ * nx), line(n_), out(nx * nx);
  for (size_t row = 0; row < m_; ++row) {
    std::fill_n(line.data(), n_ * kSignals, 0.0);
    for (size_t k = 0; k < m_; ++k) std::copy_n(modes.at(row * m_ + k), kSignals, line.at(slot_[k]));
    fft.inverse(line.data());
    for (size_t x = 0; x < nx; ++x) std::copy_n(line.at(x * skip), kSignals, rows.at(row * nx + x));
  }
  for (size_t x = 0; x < nx; ++x) {
    std::fill_n(line.data(), n_ * kSignals, 0.0);
    for (size_t k = 0; k < m_; ++k) std::copy_n(rows.at(k * nx + x), kSignals, line.at(slot_[k]));
    fft.inverse(line.data());
    for (size_t y = 0; y < nx; ++y) std::copy_n(line.at(y * skip), kSignals, out.at(y * nx + x));
  }
  return out;
}

LaneArray VorticityFlow::vorticity(size_t nx) const { return to_points(modes_, nx); }

std::pair<LaneArray, LaneArray> VorticityFlow::velocity(size_t nx) const {
  LaneArray row_u(n_), row_v(n_), u(m_ * m_), v(m_ * m_);
  for (size_t row = 0; row < m_; ++row) {
    velocity_row(modes_, row, row_u.data(), row_v.data());
    for (size_t k = 0; k < m_; ++k) {
      std::copy_n(row_u.at(slot_[k]), kSignals, u.at(row * m_ + k));
      std::copy_n(row_v.at(slot_[k]), kSignals, v.at(row * m_ + k));
    }
  }
  return {to_points(u, nx), to_points(v, nx)};
}

}  // namespace ups::data
