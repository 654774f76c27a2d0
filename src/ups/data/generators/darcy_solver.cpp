#include "ups/data/generators/darcy_solver.h"

#include <cassert>
#include <cmath>

#include "ups/core/error.h"

namespace ups::data {
namespace {

double dot(std::span<const double> a, std::span<const double> b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

}  // namespace

DarcySolver::DarcySolver(size_t n)
    : n_(n), diagonal_(n * n), east_(n * n), north_(n * n), wall_(n * n), inverse_(n * n) {
  assert(n >= 2);
}

void DarcySolver::assemble(std::span<const double> a) {
  const auto face = [](double l, double r) { return 2 * l * r / (l + r); };
  for (size_t i = 0; i < n_; ++i) {
    for (size_t j = 0; j < n_; ++j) {
      const size_t c = i * n_ + j;
      east_[c] = i + 1 < n_ ? face(a[c], a[c + n_]) : 0;
      north_[c] = j + 1 < n_ ? face(a[c], a[c + 1]) : 0;
      const int walls = (i == 0) + (i + 1 == n_) + (j == 0) + (j + 1 == n_);
      wall_[c] = 2 * a[c] * walls;
    }
  }
  // Modified incomplete Cholesky without fill-in: dropped entries are moved to the diagonal, slightly damped.
  constexpr double kDamping = 0.98;
  for (size_t i = 0; i < n_; ++i) {
    for (size_t j = 0; j < n_; ++j) {
      const size_t c = i * n_ + j;
      diagonal_[c] = wall_[c] + east_[c] + north_[c] + (i > 0 ? east_[c - n_] : 0) + (j > 0 ? north_[c - 1] : 0);
      double d = diagonal_[c];
      if (i > 0) d -= east_[c - n_] * (east_[c - n_] + kDamping * north_[c - n_]) * inverse_[c - n_];
      if (j > 0) d -= north_[c - 1] * (north_[c - 1] + kDamping * east_[c - 1]) * inverse_[c - 1];
      inverse_[c] = 1 / d;
    }
  }
}

void DarcySolver::apply(std::span<const double> u, std::span<double> out) const {
  const size_t n = n_, last = n * n;
  for (size_t c = 0; c < last; ++c) out[c] = diagonal_[c] * u[c];
  for (size_t c = 0; c + n < last; ++c) {
    out[c] -= east_[c] * u[c + n];
    out[c + n] -= east_[c] * u[c];
  }
  for (size_t c = 0; c + 1 < last; ++c) {  // north_ is 0 at the end of a row
    out[c] -= north_[c] * u[c + 1];
    out[c + 1] -= north_[c] * u[c];
  }
}

void DarcySolver::precondition(std::span<const double> r, std::span<double> z) const {
  const size_t n = n_, last = n * n;
  for (size_t c = 0; c < last; ++c) {
    double s = r[c];
    if (c >= n) s += east_[c - n] * z[c - n];
    if (c >= 1) s += north_[c - 1] * z[c - 1];
    z[c] = s * inverse_[c];
  }
  for (size_t c = last; c-- > 0;) {
    double s = 0;
    if (c + n < last) s += east_[c] * z[c + n];
    if (c + 1 < last) s += north_[c] * z[c + 1];
    z[c] += s * inverse_[c];
  }
}

std::vector<double> DarcySolver::solve(std::span<const double> a, std::span<const double> f, double tolerance) {
  const size_t cells = n_ * n_;
  assert(a.size() == cells && f.size() == cells);
  assemble(a);
  const double h2 = 1 / static_cast<double>(cells);
  std::vector<double> u(cells, 0.0), r(cells), z(cells), p(cells), ap(cells);
  for (size_t c = 0; c < cells; ++c) r[c] = f[c] * h2;
  const double goal = tolerance * std::sqrt(dot(r, r)), norm = std::sqrt(dot(r, r));
  precondition(r, z);
  p = z;
  double rz = dot(r, z);
  iterations_ = 0;
  // Half the goal inside, since the recursive residual drifts from the true one.
  while (std::sqrt(dot(r, r)) > 0.5 * goal && iterations_ < 20 * static_cast<int>(n_) + 200) {
    apply(p, ap);
    const double alpha = rz / dot(p, ap);
    for (size_t c = 0; c < cells; ++c) {
      u[c] += alpha * p[c];
      r[c] -= alpha * ap[c];
    }
    precondition(r, z);
    const double next = dot(r, z), beta = next / rz;
    rz = next;
    for (size_t c = 0; c < cells; ++c) p[c] = z[c] + beta * p[c];
    ++iterations_;
  }
  apply(u, ap);
  for (size_t c = 0; c < cells; ++c) r[c] = f[c] * h2 - ap[c];
  residual_ = norm > 0 ? std::sqrt(dot(r, r)) / norm : 0;
  if (!(residual_ <= tolerance)) {
    throw Error(ExitCode::diverged, "darcy2d", "conjugate gradients stopped at relative residual " + std::to_string(residual_));
  }
  return u;
}

double DarcySolver::wall_flux(std::span<const double> u) const {
  double s = 0;
  for (size_t c = 0; c < n_ * n_; ++c) s -= wall_[c] * u[c];
  return s;
}

}  // namespace ups::data
