// Gates of ns2d (docs/data.md): exact solutions, invariants, order, and the equation itself by independent derivatives.
#include <unistd.h>

#include <cmath>
#include <complex>
#include <filesystem>
#include <numbers>

#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/fft.h"
#include "ups/core/log.h"
#include "ups/data/generators/ns2d.h"
#include "ups/data/source.h"

using namespace ups::data;

namespace {

constexpr double kPi = std::numbers::pi, kTwoPi = 2 * kPi;
using Field = std::vector<double>;  // [y, x]

Field signal(const LaneArray& f, size_t q) {
  Field out(f.size());
  for (size_t i = 0; i < f.size(); ++i) out[i] = f.at(i)[signal_offset(q)];
  return out;
}

Field all(const LaneArray& f) { return {f.data(), f.data() + f.size() * kSignals}; }

// d/dx (axis 0) or d/dy (axis 1) of a periodic field on n x n points of (0, length)^2, by kissfft.
Field derivative(const Field& f, int axis, double length) {
  const auto n = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(f.size()))));
  ups::Fft fft(n);
  std::vector<std::complex<double>> line(n), modes(n);
  Field out(f.size());
  for (size_t i = 0; i < n; ++i) {
    const auto at = [&](size_t j) { return axis == 0 ? i * n + j : j * n + i; };
    for (size_t j = 0; j < n; ++j) line[j] = f[at(j)];
    fft.forward(line, modes);
    for (size_t k = 0; k < n; ++k) {
      const double mode = k < n / 2 ? static_cast<double>(k) : k == n / 2 ? 0 : static_cast<double>(k) - static_cast<double>(n);
      modes[k] *= std::complex<double>(0, kTwoPi / length * mode / static_cast<double>(n));
    }
    fft.inverse(modes, line);
    for (size_t j = 0; j < n; ++j) out[at(j)] = line[j].real();
  }
  return out;
}

GenerateSettings settings(const std::string& ic, int64_t nx, double t_end, double save, std::map<std::string, double> params) {
  GenerateOptions o;
  o.name = "ns2d";
  o.ic = ic;
  o.nx = nx;
  o.t_end = t_end;
  o.save_every = save;
  o.params = std::move(params);
  return resolve(o);
}

// Eight different fields of a few waves.
void add_fields(VorticityFlow& flow, int radius, double size) {
  for (size_t q = 0; q < kSignals; ++q) {
    ups::RandomStream random(q);
    for (int ky = 0; ky <= radius; ++ky) {
      for (int kx = ky == 0 ? 1 : -radius; kx <= radius; ++kx) flow.add_wave(q, {kx, ky, size * random.normal(), size * random.normal()});
    }
  }
}

}  // namespace

TEST_CASE("Taylor-Green vortices only decay") {
  // w = cos kx cos ky solves the equation with the factor e^{-(2 nu k^2 + r) t}; a shifted one in the other signals.
  constexpr double kNu = 0.02, kDrag = 0.05, kTime = 3;
  constexpr size_t kN = 32;
  VorticityFlow flow(kN, kTwoPi, kNu, kDrag, kTime / 100, {});
  for (size_t q = 0; q < kSignals; ++q) {
    const double a = std::cos(0.3 * static_cast<double>(q)), b = std::sin(0.3 * static_cast<double>(q));
    flow.add_wave(q, {3, 3, 0.5 * a, 0.5 * b});
    flow.add_wave(q, {3, -3, 0.5 * a, 0.5 * b});
  }
  flow.step(100);
  const double factor = std::exp(-(2 * kNu * 9 + kDrag) * kTime);
  double worst = 0;
  for (size_t q = 0; q < kSignals; ++q) {
    const Field w = signal(flow.vorticity(kN), q);
    for (size_t y = 0; y < kN; ++y) {
      for (size_t x = 0; x < kN; ++x) {
        const double h = kTwoPi / kN, angle = 3 * h * static_cast<double>(x) - 0.3 * static_cast<double>(q);
        worst = std::max(worst, std::abs(w[y * kN + x] - factor * std::cos(angle) * std::cos(3 * h * static_cast<double>(y))));
      }
    }
  }
  CAPTURE(worst);
  REQUIRE(worst < 1e-12);
}

TEST_CASE("a force along y drives the laminar flow") {
  // From rest, w = -4 cos(4 y) (1 - e^{-c t})/c with c = r + 16 nu: the advection of a parallel flow vanishes.
  const FlowCase& c = flow_case("kolmogorov");
  VorticityFlow flow(32, c.length, 0.01, 0.1, 0.01, c.force);
  flow.step(100);
  const double rate = 0.1 + 0.16, size = (1 - std::exp(-rate)) / rate;
  double worst = 0;
  for (size_t q = 0; q < kSignals; ++q) {
    const Field w = signal(flow.vorticity(16), q);
    for (size_t y = 0; y < 16; ++y) {
      for (size_t x = 0; x < 16; ++x) worst = std::max(worst, std::abs(w[y * 16 + x] + 4 * std::cos(4 * kTwoPi * static_cast<double>(y) / 16) * size));
    }
  }
  REQUIRE(worst < 1e-12);
}

TEST_CASE("velocity: no divergence, and its curl is the vorticity") {
  VorticityFlow flow(32, 3.0, 0.01, 0, 0.01, {});
  add_fields(flow, 6, 1);
  flow.step(5);
  const LaneArray w = flow.vorticity(32);
  const auto [u, v] = flow.velocity(32);
  double divergence = 0, curl = 0, size = 0;
  for (size_t q = 0; q < kSignals; ++q) {
    const Field wq = signal(w, q), uq = signal(u, q), vq = signal(v, q);
    const Field ux = derivative(uq, 0, 3), uy = derivative(uq, 1, 3), vx = derivative(vq, 0, 3), vy = derivative(vq, 1, 3);
    for (size_t i = 0; i < wq.size(); ++i) {
      divergence = std::max(divergence, std::abs(ux[i] + vy[i]));
      curl = std::max(curl, std::abs(vx[i] - uy[i] - wq[i]));
      size = std::max(size, std::abs(wq[i]));
    }
  }
  CAPTURE(divergence, curl, size);
  REQUIRE(divergence < 1e-12 * size);
  REQUIRE(curl < 1e-12 * size);
}

TEST_CASE("the vorticity changes as the equation says") {
  // dw/dt by central differences of the solver, the right side from derivatives of its velocity and vorticity on a grid that
  // holds every product of waves up to 6 without aliasing.
  constexpr double kLength = 2, kNu = 0.03, kDrag = 0.2, kStep = 1e-4;
  const std::vector<Wave> force = {{1, 2, 0.3, -0.7}};
  VorticityFlow flow(64, kLength, kNu, kDrag, kStep, force);
  add_fields(flow, 6, 0.3);
  const LaneArray before = flow.vorticity(64);
  flow.step(1);
  const LaneArray now = flow.vorticity(64);
  const auto [u, v] = flow.velocity(64);
  flow.step(1);
  const LaneArray after = flow.vorticity(64);
  for (const size_t q : {size_t{0}, size_t{3}}) {
    const Field w = signal(now, q), uq = signal(u, q), vq = signal(v, q), w0 = signal(before, q), w1 = signal(after, q);
    const Field wx = derivative(w, 0, kLength), wy = derivative(w, 1, kLength);
    const Field wxx = derivative(wx, 0, kLength), wyy = derivative(wy, 1, kLength);
    Field rate(w.size()), right(w.size());
    for (size_t i = 0; i < w.size(); ++i) {
      const double x = static_cast<double>(i % 64) / 64, y = static_cast<double>(i / 64) / 64, angle = kTwoPi * (x + 2 * y);
      rate[i] = (w1[i] - w0[i]) / (2 * kStep);
      right[i] = -uq[i] * wx[i] - vq[i] * wy[i] + kNu * (wxx[i] + wyy[i]) - kDrag * w[i] + 0.3 * std::cos(angle) - 0.7 * std::sin(angle);
    }
    const double difference = relative_l2(rate, right);
    CAPTURE(q, difference);
    REQUIRE(difference < 1e-6);
  }
}

TEST_CASE("fourth order in time") {
  const auto run = [](int64_t steps) {
    VorticityFlow flow(32, kTwoPi, 0.02, 0, 1.0 / static_cast<double>(steps), {{0, 4, -4, 0}});
    add_fields(flow, 3, 0.4);
    flow.step(steps);
    return all(flow.vorticity(32));
  };
  const Field fine = run(1280);
  const double e1 = relative_l2(run(40), fine), e2 = relative_l2(run(80), fine), e4 = relative_l2(run(160), fine);
  CAPTURE(e1, e2, e4, e1 / e2, e2 / e4);
  REQUIRE((e1 / e2 > 14 && e1 / e2 < 18));
  REQUIRE((e2 / e4 > 14 && e2 / e4 < 18));
}

TEST_CASE("without viscosity energy and enstrophy stay") {
  VorticityFlow flow(32, kTwoPi, 0, 0, 1.0 / 400, {});
  add_fields(flow, 4, 0.15);
  const auto moments = [&] {  // of all signals; per signal they are what their sum is
    std::vector<double> out;
    const auto [u, v] = flow.velocity(32);
    const LaneArray w = flow.vorticity(32);
    for (size_t q = 0; q < kSignals; ++q) {
      double energy = 0, enstrophy = 0;
      for (size_t i = 0; i < w.size(); ++i) {
        const size_t at = signal_offset(q);
        energy += u.at(i)[at] * u.at(i)[at] + v.at(i)[at] * v.at(i)[at];
        enstrophy += w.at(i)[at] * w.at(i)[at];
      }
      out.push_back(energy);
      out.push_back(enstrophy);
    }
    return out;
  };
  const auto before = moments();
  const Field w0 = all(flow.vorticity(32));
  flow.step(400);
  const auto after = moments();
  double drift = 0;
  for (size_t i = 0; i < before.size(); ++i) drift = std::max(drift, std::abs(after[i] / before[i] - 1));
  CAPTURE(drift);
  REQUIRE(drift < 1e-10);
  REQUIRE(relative_l2(all(flow.vorticity(32)), w0) > 0.1);  // and something happened
}

TEST_CASE("ns2d samples: zero mean, the same field on every grid, resolved") {
  Ns2d coarse(settings("decay", 16, 0.5, 0.25, {{"nu", 0.05}})), fine(settings("decay", 64, 0.5, 0.25, {{"nu", 0.05}}));
  REQUIRE(fine.x()[1] == Approx(kTwoPi / 64));
  const Sample a = coarse.sample(3), b = fine.sample(3);
  REQUIRE(a.frames.size() == size_t{3 * 16 * 16});
  double mean = 0, difference = 0, square = 0;
  for (size_t y = 0; y < 16; ++y) {
    for (size_t x = 0; x < 16; ++x) difference = std::max(difference, std::abs(a.frames[y * 16 + x] - b.frames[4 * y * 64 + 4 * x]));
  }
  REQUIRE(difference < 1e-12);
  for (size_t i = 2 * 64 * 64; i < b.frames.size(); ++i) mean += b.frames[i] / (64 * 64);
  REQUIRE(std::abs(mean) < 1e-12);
  const auto samples = fine.block(1);
  for (const Sample& s : samples) {
    for (size_t i = 0; i < 64 * 64; ++i) square += s.frames[i] * s.frames[i] / (64 * 64 * 8);
  }
  REQUIRE(std::sqrt(square) == Approx(flow_case("decay").vorticity).epsilon(0.15));  // eight samples of some 50 normal numbers
  for (const auto& [ic, nu] : {std::pair("decay", 0.02), std::pair("kolmogorov", 0.02), std::pair("forced", 0.001)}) {
    CAPTURE(ic);
    const double tolerance = Ns2d(settings(ic, 64, 0.5, 0.5, {{"nu", nu}})).measure_tolerance();
    CAPTURE(tolerance);
    CHECK(tolerance < 1e-5);
  }
  REQUIRE(settings("kolmogorov", 64, 1, 1, {}).param("r") == 0.1);
  REQUIRE(settings("kolmogorov", 64, 1, 1, {{"r", 0.0}}).param("r") == 0);
  REQUIRE(settings("decay", 64, 1, 1, {}).param("r") == 0);
}

TEST_CASE("ns2d files read back with x before y") {
  ups::log::set_level(ups::log::Level::error);
  const auto folder = std::filesystem::temp_directory_path() / ("ups_ns2d_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  GenerateOptions o;
  o.name = "ns2d";
  o.ic = "kolmogorov";
  o.out = (folder / "flow.h5").string();
  o.count = 2;
  o.nx = 16;
  o.t_end = 0.5;
  o.params["nu"] = 0.1;
  generate(o);
  const auto source = open_source(o.out, {});
  const SourceInfo& info = source->info();
  REQUIRE(info.family == "ns2d");
  REQUIRE((info.frames == 3 && info.channels == 1 && info.grid == std::vector<int64_t>{16, 16}));
  REQUIRE(info.channel_names == std::vector<std::string>{"vorticity"});
  REQUIRE(info.params == std::map<std::string, double>{{"nu", 0.1}, {"r", 0.1}});
  REQUIRE((info.boundary[0] == Boundary::periodic && info.boundary[3] == Boundary::periodic));
  REQUIRE(info.coords[1][1] == Approx(kTwoPi / 16));
  std::vector<float> got(3 * 256);
  source->read(1, 0, 3, 1, got);
  const Sample sample = Ns2d(resolve(o)).sample(1);
  for (size_t t = 0; t < 3; ++t) {
    for (size_t x = 0; x < 16; ++x) {
      for (size_t y = 0; y < 16; ++y) REQUIRE(got[(t * 16 + x) * 16 + y] == static_cast<float>(sample.frames[(t * 16 + y) * 16 + x]));
    }
  }
  std::filesystem::remove_all(folder);
}
