#include "ups/data/generators/darcy2d.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <numeric>

namespace ups::data {
namespace {

constexpr double kLow = 0.1;
constexpr size_t kModes = 24;  // of the Gaussian field, per axis

// Five bumps exp(-r^2/s), centres U(0,1)^2, s ~ U(0,.5).
std::vector<double> blobs(RandomStream& random, size_t n) {
  std::array<std::array<double, 3>, 5> bumps;
  for (auto& [cx, cy, s] : bumps) {
    cx = random.uniform();
    cy = random.uniform();
    s = 0.5 * (1 - random.uniform());  // (0, .5]: never divides by zero
  }
  std::vector<double> field(n * n, 0.0), gx(n), gy(n);
  for (const auto& [cx, cy, s] : bumps) {
    for (size_t i = 0; i < n; ++i) {
      const double p = (static_cast<double>(i) + 0.5) / static_cast<double>(n);
      gx[i] = std::exp(-(p - cx) * (p - cx) / s);
      gy[i] = std::exp(-(p - cy) * (p - cy) / s);
    }
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) field[i * n + j] += gx[i] * gy[j];
    }
  }
  return field;
}

// Zero-mean Gaussian field with covariance (-lap + 9)^-2, zero-flux cosines.
std::vector<double> gaussian(RandomStream& random, size_t n) {
  constexpr double kPi = std::numbers::pi;
  std::vector<double> cosine(kModes * n), half(kModes * n, 0.0), field(n * n, 0.0);
  for (size_t k = 0; k < kModes; ++k) {
    for (size_t i = 0; i < n; ++i) {
      cosine[k * n + i] = std::cos(kPi * static_cast<double>(k) * (static_cast<double>(i) + 0.5) / static_cast<double>(n));
    }
  }
  for (size_t k = 0; k < kModes; ++k) {
    for (size_t l = 0; l < kModes; ++l) {
      const double z = random.normal(), norm = (k ? std::numbers::sqrt2 : 1) * (l ? std::numbers::sqrt2 : 1);
      if (k + l == 0) continue;
      const double weight = z * norm / (kPi * kPi * static_cast<double>(k * k + l * l) + 9);
      for (size_t j = 0; j < n; ++j) half[k * n + j] += weight * cosine[l * n + j];
    }
  }
  for (size_t k = 0; k < kModes; ++k) {
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) field[i * n + j] += cosine[k * n + i] * half[k * n + j];
    }
  }
  return field;
}

}  // namespace

std::vector<double> two_valued(const std::vector<double>& field, double level, double low) {
  std::vector<double> a(field.size());
  std::transform(field.begin(), field.end(), a.begin(), [&](double v) { return v > level ? 1.0 : low; });
  return a;
}

Darcy2d::Darcy2d(const GenerateSettings& settings) : settings_(settings), solver_(static_cast<size_t>(settings.nx)) {}

std::string Darcy2d::scheme() const {
  return "cell-centred five-point finite volumes, harmonic faces, half-cell walls; PCG to relative residual 1e-10";
}

std::vector<double> Darcy2d::coefficient(uint64_t sample, size_t n) const {
  RandomStream random = sample_stream(settings_, sample);
  if (settings_.ic == "grf") return two_valued(gaussian(random, n), 0, kLow);
  const std::vector<double> field = blobs(random, n);
  const double mean = std::accumulate(field.begin(), field.end(), 0.0) / static_cast<double>(field.size());
  return two_valued(field, mean, kLow);
}

std::vector<Sample> Darcy2d::block(uint64_t index) {
  Sample s;
  s.coeff = coefficient(index, static_cast<size_t>(settings_.nx));
  const std::vector<double> source(s.coeff.size(), settings_.param("beta"));
  s.frames = solver_.solve(s.coeff, source);
  return {std::move(s)};
}

double Darcy2d::measure_tolerance() {
  double worst = 0;
  for (uint64_t i = 0; i < 8; ++i) {
    block(i);
    worst = std::max(worst, solver_.residual());
  }
  return worst;
}

GeneratorInfo darcy2d_info() {
  GeneratorInfo g;
  g.name = "darcy2d";
  g.summary = "steady Darcy flow through a two-phase medium: coefficient field in, pressure out";
  g.equation = "-div(a grad u) = beta on (0,1)^2, a in {0.1, 1}";
  g.boundary = "dirichlet";
  g.layout = Layout::pdebench_darcy;
  g.params = {{"beta", "beta", "constant source", 1, 0.001, 1000}};
  g.ics = {"blobs", "grf"};
  g.ic_doc = "blobs: five random bumps, a = 1 above their mean; grf: a Gaussian field, a = 1 where it is positive";
  g.nx = 64;
  g.nx_min = 8;
  g.nx_max = 1024;
  g.power_of_two = false;
  g.base_nx = 0;
  g.t_end = g.save_every = 0;
  g.channels = {"u"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<Darcy2d>(s); };
  return g;
}

}  // namespace ups::data
