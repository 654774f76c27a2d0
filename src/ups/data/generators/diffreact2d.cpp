#include "ups/data/generators/diffreact2d.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ups::data {
namespace {

constexpr double kStep = 0.0125;

// Eigenvalues of D times the five-point Laplacian with zero flux on n cells per axis of (-1,1)^2, in the order of a field of
// modes: first du for four u modes, then dv for the same v modes.
std::vector<double> diffusion(size_t n, double du, double dv) {
  const double h = 2 / static_cast<double>(n);
  std::vector<double> axis, out;
  for (size_t k = 0; k < n; ++k) {
    const double s = std::sin(std::numbers::pi * static_cast<double>(k) / static_cast<double>(2 * n));
    axis.push_back(-4 * s * s / (h * h));
  }
  for (size_t ky = 0; ky < n; ky += kLanes) {
    for (size_t kx = 0; kx < n; ++kx) {
      for (const double d : {du, dv}) {
        for (size_t l = 0; l < kLanes; ++l) out.push_back(d * (axis[ky + l] + axis[kx]));
      }
    }
  }
  return out;
}

}  // namespace

DiffReactSolver::DiffReactSolver(size_t n, double du, double dv, double k, double dt, bool reaction)
    : n_(n), k_(k), react_(reaction), etd_(diffusion(n, du, dv), dt), dct_(n) {
  for (LaneArray* f : {&modes_, &a_, &b_, &nv_, &na_, &nb_, &nc_, &work_}) f->resize(n * n / kLanes);
}

// Element (g, i), lane l  ->  element (i / 4, 4 g + l), lane i % 4.
void DiffReactSolver::transpose(LaneArray& f) {
  for (size_t g = 0; g < n_ / kLanes; ++g) {
    for (size_t h = 0; h < n_ / kLanes; ++h) {
      for (size_t i = 0; i < kLanes; ++i) {
        const double* in = f.at(g * n_ + h * kLanes + i);
        for (size_t l = 0; l < kLanes; ++l) {
          double* out = work_.at(h * n_ + g * kLanes + l) + i;
          out[0] = in[l];
          out[kLanes] = in[kLanes + l];
        }
      }
    }
  }
  std::swap(f, work_);
}

void DiffReactSolver::to_modes(LaneArray& f) {
  for (size_t g = 0; g < n_ / kLanes; ++g) dct_.forward(f.at(g * n_));
  transpose(f);
  for (size_t g = 0; g < n_ / kLanes; ++g) dct_.forward(f.at(g * n_));
}

void DiffReactSolver::to_cells(LaneArray& f) {
  for (size_t g = 0; g < n_ / kLanes; ++g) dct_.inverse(f.at(g * n_));
  transpose(f);
  for (size_t g = 0; g < n_ / kLanes; ++g) dct_.inverse(f.at(g * n_));
}

void DiffReactSolver::nonlinear(const LaneArray& modes, LaneArray& out) {
  out = modes;
  if (!react_) {
    std::fill_n(out.data(), out.size() * kSignals, 0.0);
    return;
  }
  to_cells(out);
  for (size_t i = 0; i < out.size(); ++i) {
    double *u = out.at(i), *v = u + kLanes;
    for (size_t l = 0; l < kLanes; ++l) {
      const double up = u[l], vp = v[l];
      u[l] = up - up * up * up - k_ - vp;
      v[l] = up - vp;
    }
  }
  to_modes(out);
}

void DiffReactSolver::step(int64_t count) {
  const size_t m = modes_.size() * kSignals;
  const double *e = etd_.e.data(), *e2 = etd_.e2.data(), *q = etd_.q.data();
  const double *f1 = etd_.f1.data(), *f2 = etd_.f2.data(), *f3 = etd_.f3.data();
  for (int64_t i = 0; i < count; ++i) {
    double *v = modes_.data(), *a = a_.data(), *b = b_.data();
    nonlinear(modes_, nv_);
    const double* nv = nv_.data();
    for (size_t j = 0; j < m; ++j) a[j] = e2[j] * v[j] + q[j] * nv[j];
    nonlinear(a_, na_);
    const double* na = na_.data();
    for (size_t j = 0; j < m; ++j) b[j] = e2[j] * v[j] + q[j] * na[j];
    nonlinear(b_, nb_);
    const double* nb = nb_.data();
    for (size_t j = 0; j < m; ++j) b[j] = e2[j] * a[j] + q[j] * (2 * nb[j] - nv[j]);
    nonlinear(b_, nc_);
    const double* nc = nc_.data();
    for (size_t j = 0; j < m; ++j) v[j] = e[j] * v[j] + f1[j] * nv[j] + f2[j] * (na[j] + nb[j]) + f3[j] * nc[j];
  }
}

void DiffReactSolver::set(const std::vector<double>& u, const std::vector<double>& v) {
  for (size_t y = 0; y < n_; ++y) {
    for (size_t x = 0; x < n_; ++x) {
      double* element = modes_.at(x / kLanes * n_ + y) + x % kLanes;
      element[0] = u[y * n_ + x];
      element[kLanes] = v[y * n_ + x];
    }
  }
  to_modes(modes_);
}

void DiffReactSolver::get(std::vector<double>& u, std::vector<double>& v) {
  LaneArray cells = modes_;
  to_cells(cells);
  u.resize(n_ * n_);
  v.resize(n_ * n_);
  for (size_t y = 0; y < n_; ++y) {
    for (size_t x = 0; x < n_; ++x) {
      const double* element = cells.at(x / kLanes * n_ + y) + x % kLanes;
      u[y * n_ + x] = element[0];
      v[y * n_ + x] = element[kLanes];
    }
  }
}

DiffReact2d::DiffReact2d(const GenerateSettings& settings)
    : settings_(settings), steps_per_save_(static_cast<int64_t>(std::ceil(settings.save_every / kStep - 1e-9))) {}

std::vector<double> DiffReact2d::x() const {
  std::vector<double> out;
  for (int64_t i = 0; i < settings_.nx; ++i) {
    out.push_back(-1 + 2 * (static_cast<double>(i) + 0.5) / static_cast<double>(settings_.nx));
  }
  return out;
}

std::string DiffReact2d::scheme() const {
  return "five-point operator diagonalised by DCT-II; ETDRK4 (32-point contour), dt <= 0.0125";
}

Sample DiffReact2d::solve(uint64_t index, int64_t frames, int64_t steps_per_save) {
  const auto n = static_cast<size_t>(settings_.nx);
  DiffReactSolver solver(n, settings_.param("Du"), settings_.param("Dv"), settings_.param("k"),
                         settings_.save_every / static_cast<double>(steps_per_save));
  RandomStream random = sample_stream(settings_, index);
  std::vector<double> u(n * n), v(n * n);
  for (double& value : u) value = random.normal();
  for (double& value : v) value = random.normal();
  Sample s;
  for (int64_t t = 0; t < frames; ++t) {
    if (t == 0) {
      solver.set(u, v);
    } else {
      solver.step(steps_per_save);
      solver.get(u, v);
    }
    for (size_t c = 0; c < n * n; ++c) {
      s.frames.push_back(u[c]);
      s.frames.push_back(v[c]);
    }
  }
  return s;
}

std::vector<Sample> DiffReact2d::block(uint64_t index) { return {solve(index, settings_.frames, steps_per_save_)}; }

double DiffReact2d::measure_tolerance() {
  const int64_t frames = std::min(settings_.frames, static_cast<int64_t>(std::ceil(0.5 / settings_.save_every)) + 1);
  const Sample coarse = solve(0, frames, steps_per_save_), fine = solve(0, frames, 4 * steps_per_save_);
  const auto frame = static_cast<std::ptrdiff_t>(coarse.frames.size()) / frames;
  return relative_l2({coarse.frames.end() - frame, coarse.frames.end()}, {fine.frames.end() - frame, fine.frames.end()});
}

GeneratorInfo diffreact2d_info() {
  GeneratorInfo g;
  g.name = "diffreact2d";
  g.summary = "FitzHugh-Nagumo diffusion-reaction of two substances: patterns grow out of noise";
  g.equation = "u_t = Du lap u + u - u^3 - k - v, v_t = Dv lap v + u - v on (-1,1)^2";
  g.boundary = "neumann";
  g.layout = Layout::pdebench_group;
  g.params = {{"Du", "Du", "diffusion of u", 1e-3, 1e-5, 1}, {"Dv", "Dv", "diffusion of v", 5e-3, 1e-5, 1}, {"k", "k", "threshold", 5e-3, -1, 1}};
  g.ics = {"noise"};
  g.nx = 128;
  g.nx_min = 8;
  g.nx_max = 1024;
  g.power_of_two = true;
  g.base_nx = 0;
  g.t_end = 5;
  g.save_every = 0.05;
  g.channels = {"u", "v"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<DiffReact2d>(s); };
  return g;
}

}  // namespace ups::data
