#include "ups/data/generators/ks1d.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

#include "ups/core/error.h"

namespace ups::data {
namespace {

constexpr double kBurnIn = 200, kStep = 0.025;
constexpr double kLargestWave = 4;  // the solver keeps wave numbers up to at least this; the spectrum falls exponentially beyond 1

size_t solver_points(double length, int64_t nx) {
  const double modes = kLargestWave * length / (2 * std::numbers::pi);
  return std::max(static_cast<size_t>(nx), std::bit_ceil(static_cast<size_t>(3 * modes)));
}

}  // namespace

Ks1d::Ks1d(const GenerateSettings& settings)
    : settings_(settings),
      length_(settings.param("L")),
      points_(solver_points(length_, settings.nx)),
      steps_per_save_(static_cast<int64_t>(std::ceil(settings.save_every / kStep - 1e-9))),
      flow_(flow(settings.save_every / static_cast<double>(steps_per_save_))),
      burn_in_flow_(flow(kStep)) {
  dt_ = settings.save_every / static_cast<double>(steps_per_save_);
}

PeriodicFlow Ks1d::flow(double dt) const { return PeriodicFlow(points_, length_, dt, symbol); }

std::vector<double> Ks1d::x() const {
  std::vector<double> out;
  for (int64_t j = 0; j < settings_.nx; ++j) out.push_back(length_ * static_cast<double>(j) / static_cast<double>(settings_.nx));
  return out;
}

std::string Ks1d::scheme() const {
  return fmt::format("Fourier pseudo-spectral, 2/3 rule, {} points; ETDRK4 (32-point contour), dt = {}; {} time units of burn-in", points_,
                     dt_, kBurnIn);
}

FlowState Ks1d::start(uint64_t block, const std::vector<uint64_t>& attempts, double burn_in) {
  LaneArray points(points_);
  for (size_t q = 0; q < kSignals; ++q) {
    RandomStream random = sample_stream(settings_, block * kSignals + q, attempts[q]);
    for (int mode = 1; mode <= 4; ++mode) {
      const double a = random.normal(), b = random.normal();
      for (size_t j = 0; j < points_; ++j) {
        const double angle = 2 * std::numbers::pi * mode * static_cast<double>(j) / static_cast<double>(points_);
        points.at(j)[signal_offset(q)] += a * std::cos(angle) + b * std::sin(angle);
      }
    }
  }
  FlowState state = to_modes(points, flow_.cutoff());
  burn_in_flow_.step(state, static_cast<int64_t>(std::llround(burn_in / kStep)));
  return state;
}

bool collapsed(const Sample& sample, size_t nx) {
  int quiet = 0;
  for (size_t t = nx; t < sample.frames.size(); t += nx) {
    double change = 0, size = 0;
    for (size_t i = 0; i < nx; ++i) {
      const double now = sample.frames[t + i], before = sample.frames[t + i - nx];
      change += (now - before) * (now - before);
      size += now * now;
    }
    quiet = change < 0.02 * 0.02 * size ? quiet + 1 : 0;
    if (quiet >= 20) return true;
  }
  return false;
}

std::vector<Sample> Ks1d::block(uint64_t index) {
  const auto nx = static_cast<size_t>(settings_.nx), frames = static_cast<size_t>(settings_.frames);
  std::vector<uint64_t> attempts(kSignals, 0);
  for (int round = 0; round < 50; ++round) {
    std::vector<Sample> out(kSignals);
    FlowState state = start(index, attempts, kBurnIn);
    for (size_t t = 0; t < frames; ++t) {
      if (t > 0) flow_.step(state, steps_per_save_);
      const LaneArray points = to_points(state, nx);
      for (size_t q = 0; q < kSignals; ++q) {
        for (size_t i = 0; i < nx; ++i) out[q].frames.push_back(points.at(i)[signal_offset(q)]);
      }
    }
    bool good = true;
    for (size_t q = 0; q < kSignals; ++q) {
      if (!collapsed(out[q], nx)) continue;
      ++attempts[q];
      good = false;
    }
    if (good) return out;
  }
  throw Error(ExitCode::diverged, fmt::format("ks1d samples {} to {}", index * kSignals, index * kSignals + kSignals - 1),
              fmt::format("trajectories keep settling into a steady state at L = {}", length_), "choose another L, for example 22 or 64");
}

double Ks1d::measure_tolerance() {
  FlowState coarse = start(0, std::vector<uint64_t>(kSignals, 0), kBurnIn), fine = coarse;
  const auto steps = static_cast<int64_t>(std::llround(5 / dt_));
  PeriodicFlow quarter = flow(dt_ / 4);
  flow_.step(coarse, steps);
  quarter.step(fine, 4 * steps);
  const LaneArray a = to_points(coarse, points_), b = to_points(fine, points_);
  double worst = 0;
  for (size_t q = 0; q < kSignals; ++q) {
    std::vector<double> u, v;
    for (size_t j = 0; j < points_; ++j) {
      u.push_back(a.at(j)[signal_offset(q)]);
      v.push_back(b.at(j)[signal_offset(q)]);
    }
    worst = std::max(worst, relative_l2(u, v));
  }
  return worst;
}

GeneratorInfo ks1d_info() {
  GeneratorInfo g;
  g.name = "ks1d";
  g.summary = "Kuramoto-Sivashinsky equation: spatio-temporal chaos (L = 22 and 64 stay chaotic; near 32 they settle)";
  g.equation = "u_t + u u_x + u_xx + u_xxxx = 0 on [0,L)";
  g.boundary = "periodic";
  g.layout = Layout::pdebench;
  g.params = {{"L", "L", "length of the interval", 22, 12, 400}};
  g.ics = {"modes"};
  g.nx = 64;
  g.nx_min = 32;
  g.nx_max = 4096;
  g.power_of_two = true;
  g.base_nx = 0;
  g.t_end = 40;
  g.save_every = 1;
  g.channels = {"u"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<Ks1d>(s); };
  return g;
}

}  // namespace ups::data
