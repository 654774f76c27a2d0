#include "ups/metrics/darcy.h"

#include <cassert>
#include <cmath>

namespace ups::metrics {
namespace {

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace

DarcyOperator::DarcyOperator(int64_t nx, int64_t ny, double lx, double ly, std::span<const double> a, DarcyFaces faces)
    : nx_(static_cast<size_t>(nx)), ny_(static_cast<size_t>(ny)) {
  assert(a.size() == nx_ * ny_);
  const double hx = lx / static_cast<double>(nx), hy = ly / static_cast<double>(ny);
  const bool harmonic = faces == DarcyFaces::harmonic;
  const auto inner = [&](double p, double q) { return harmonic ? 2 * p * q / (p + q) : 0.5 * (p + q); };
  const auto wall = [&](double p) { return harmonic ? 2 * p : p; };
  face_x_.resize((nx_ + 1) * ny_);
  face_y_.resize(nx_ * (ny_ + 1));
  diagonal_.resize(nx_ * ny_);
  for (size_t i = 0; i <= nx_; ++i) {
    for (size_t j = 0; j < ny_; ++j) {
      const double face = i == 0     ? wall(a[j])
                          : i == nx_ ? wall(a[(nx_ - 1) * ny_ + j])
                                     : inner(a[(i - 1) * ny_ + j], a[i * ny_ + j]);
      face_x_[i * ny_ + j] = face / (hx * hx);
    }
  }
  for (size_t i = 0; i < nx_; ++i) {
    for (size_t j = 0; j <= ny_; ++j) {
      const double* row = &a[i * ny_];
      const double face = j == 0 ? wall(row[0]) : j == ny_ ? wall(row[ny_ - 1]) : inner(row[j - 1], row[j]);
      face_y_[i * (ny_ + 1) + j] = face / (hy * hy);
    }
    for (size_t j = 0; j < ny_; ++j) {
      diagonal_[i * ny_ + j] = face_x_[i * ny_ + j] + face_x_[(i + 1) * ny_ + j] + face_y_[i * (ny_ + 1) + j] +
                               face_y_[i * (ny_ + 1) + j + 1];
    }
  }
}

void DarcyOperator::apply(std::span<const double> u, std::span<double> out) const {
  for (size_t i = 0; i < nx_; ++i) {
    for (size_t j = 0; j < ny_; ++j) {
      const size_t k = i * ny_ + j;
      double v = diagonal_[k] * u[k];
      if (i > 0) v -= face_x_[i * ny_ + j] * u[k - ny_];
      if (i + 1 < nx_) v -= face_x_[(i + 1) * ny_ + j] * u[k + ny_];
      if (j > 0) v -= face_y_[i * (ny_ + 1) + j] * u[k - 1];
      if (j + 1 < ny_) v -= face_y_[i * (ny_ + 1) + j + 1] * u[k + 1];
      out[k] = v;
    }
  }
}

double DarcyOperator::relative_residual(std::span<const double> u, double f) const {
  std::vector<double> au(u.size());
  apply(u, au);
  double sum = 0;
  for (double v : au) sum += (f - v) * (f - v);
  return std::sqrt(sum / (f * f * static_cast<double>(u.size())));
}

void DarcyOperator::pcg(std::span<const double> start, double f, const std::function<bool(int64_t, std::span<const double>)>& go_on) const {
  std::vector<double> u(start.begin(), start.end()), r(u.size()), z(u.size()), p(u.size()), q(u.size());
  apply(u, q);
  for (size_t i = 0; i < u.size(); ++i) r[i] = f - q[i], z[i] = r[i] / diagonal_[i];
  p = z;
  double rz = dot(r, z);
  const double converged = 1e-32 * rz;  // round-off; going on would divide zero by zero
  for (int64_t done = 0; go_on(done, u) && rz > converged; ++done) {
    apply(p, q);
    const double alpha = rz / dot(p, q);
    for (size_t i = 0; i < u.size(); ++i) u[i] += alpha * p[i], r[i] -= alpha * q[i], z[i] = r[i] / diagonal_[i];
    const double next = dot(r, z), beta = next / rz;
    rz = next;
    for (size_t i = 0; i < u.size(); ++i) p[i] = z[i] + beta * p[i];
  }
}

std::vector<std::vector<double>> DarcyOperator::pcg(std::span<const double> start, double f, std::span<const int64_t> iterations) const {
  std::vector<std::vector<double>> out;
  std::vector<double> last;
  pcg(start, f, [&](int64_t done, std::span<const double> u) {
    last.assign(u.begin(), u.end());
    if (out.size() < iterations.size() && done == iterations[out.size()]) out.push_back(last);
    return out.size() < iterations.size();
  });
  out.resize(iterations.size(), last);  // converged before
  return out;
}

std::vector<double> DarcyOperator::solve(double f) const {
  const int64_t most = 40 * static_cast<int64_t>(nx_ + ny_);
  return pcg(std::vector<double>(diagonal_.size(), 0.0), f, std::span(&most, 1))[0];
}

double relative_l2(std::span<const double> u, std::span<const double> truth) {
  double error = 0, energy = 0;
  for (size_t i = 0; i < u.size(); ++i) error += (u[i] - truth[i]) * (u[i] - truth[i]), energy += truth[i] * truth[i];
  return std::sqrt(error / energy);
}

}  // namespace ups::metrics
