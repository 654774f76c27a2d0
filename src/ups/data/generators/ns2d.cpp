#include "ups/data/generators/ns2d.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace ups::data {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;
constexpr double kCourant = 0.6;    // speed dt / cell; stable to about 1.2
constexpr double kScales = 1.7;     // kept waves reach this times sqrt(vorticity / nu), beyond which viscosity leaves little
constexpr size_t kMostPoints = 512;

size_t solver_points(const GenerateSettings& s, const FlowCase& c) {
  const double smallest = std::sqrt(c.peak_vorticity / s.param("nu")) * c.length / kTwoPi;
  const auto needed = static_cast<size_t>(std::min(3 * kScales * smallest, static_cast<double>(kMostPoints)));
  return std::max(static_cast<size_t>(s.nx), std::bit_ceil(needed));
}

double largest_step(size_t points, const FlowCase& c) { return kCourant * c.length / static_cast<double>(points) / c.speed; }

}  // namespace

const FlowCase& flow_case(const std::string& name) {
  static const FlowCase cases[] = {
      {"decay", kTwoPi, 3, 4, 4, 6, {}},
      {"kolmogorov", kTwoPi, 3, 4, 4, 6, {{0, 4, -4, 0}}},  // -4 cos 4y
      {"forced", 1, 1, 4, 0.5, 3, {{1, 1, 0.1, 0.1}}},      // .1 (sin 2 pi (x + y) + cos 2 pi (x + y))
  };
  return *std::find_if(std::begin(cases), std::end(cases), [&](const FlowCase& c) { return c.name == name; });
}

Ns2d::Ns2d(const GenerateSettings& settings)
    : settings_(settings),
      case_(flow_case(settings.ic)),
      points_(solver_points(settings, case_)),
      steps_per_save_(static_cast<int64_t>(std::ceil(settings.save_every / largest_step(points_, case_) - 1e-9))) {}

std::vector<double> Ns2d::x() const {
  std::vector<double> out;
  for (int64_t j = 0; j < settings_.nx; ++j) out.push_back(case_.length * static_cast<double>(j) / static_cast<double>(settings_.nx));
  return out;
}

std::string Ns2d::scheme() const {
  return fmt::format("Fourier pseudo-spectral, 2/3 rule, {} points per axis; ETDRK4 (32-point contour), dt = {:.6g}", points_,
                     settings_.save_every / static_cast<double>(steps_per_save_));
}

// Every wave of the disc gets a normal cosine and sine amplitude of equal variance, so the field is statistically isotropic.
VorticityFlow Ns2d::start(uint64_t block, size_t points, int64_t steps_per_save) const {
  VorticityFlow flow(points, case_.length, settings_.param("nu"), settings_.param("r"),
                     settings_.save_every / static_cast<double>(steps_per_save), case_.force);
  const int radius = case_.largest_wave;
  std::vector<Wave> waves;  // one of each pair k, -k
  for (int ky = 0; ky <= radius; ++ky) {
    for (int kx = ky == 0 ? 1 : -radius; kx <= radius; ++kx) {
      if (kx * kx + ky * ky <= radius * radius) waves.push_back({kx, ky, 0, 0});
    }
  }
  const double amplitude = case_.vorticity / std::sqrt(static_cast<double>(waves.size()));
  for (size_t q = 0; q < kSignals; ++q) {
    RandomStream random = sample_stream(settings_, block * kSignals + q);
    for (Wave w : waves) {
      w.a = amplitude * random.normal();
      w.b = amplitude * random.normal();
      flow.add_wave(q, w);
    }
  }
  return flow;
}

std::vector<Sample> Ns2d::block(uint64_t index) {
  VorticityFlow flow = start(index, points_, steps_per_save_);
  std::vector<Sample> out(kSignals);
  for (int64_t t = 0; t < settings_.frames; ++t) {
    if (t > 0) flow.step(steps_per_save_);
    const LaneArray w = flow.vorticity(static_cast<size_t>(settings_.nx));
    for (size_t q = 0; q < kSignals; ++q) {
      for (size_t c = 0; c < w.size(); ++c) out[q].frames.push_back(w.at(c)[signal_offset(q)]);
    }
  }
  return out;
}

double Ns2d::measure_tolerance() {
  const int64_t saves = std::min(settings_.frames - 1, static_cast<int64_t>(std::ceil(0.5 / settings_.save_every)));
  VorticityFlow coarse = start(0, points_, steps_per_save_), fine = start(0, 2 * points_, 2 * steps_per_save_);
  coarse.step(saves * steps_per_save_);
  fine.step(2 * saves * steps_per_save_);
  const auto nx = static_cast<size_t>(settings_.nx);
  const LaneArray a = coarse.vorticity(nx), b = fine.vorticity(nx);
  double worst = 0;
  for (size_t q = 0; q < kSignals; ++q) {
    std::vector<double> u, v;
    for (size_t c = 0; c < a.size(); ++c) {
      u.push_back(a.at(c)[signal_offset(q)]);
      v.push_back(b.at(c)[signal_offset(q)]);
    }
    worst = std::max(worst, relative_l2(u, v));
  }
  return worst;
}

GeneratorInfo ns2d_info() {
  GeneratorInfo g;
  g.name = "ns2d";
  g.summary = "incompressible flow: vortices that decay, or are driven by a force";
  g.equation = "w_t + u . grad w = nu lap w - r w + f, u = (psi_y, -psi_x), lap psi = -w";
  g.boundary = "periodic";
  g.layout = Layout::pdebench_group;
  g.params = {{"nu", "nu", "viscosity", 1e-2, 1e-5, 1}, {"r", "r", "drag (kolmogorov: 0.1)", 0, 0, 10}};
  g.ics = {"decay", "kolmogorov", "forced"};
  g.ic_doc = "the flow: random vortices in (0, 2 pi)^2 left alone; there with f = -4 cos 4y; in (0,1)^2 with "
             "f = (sin 2 pi(x+y) + cos 2 pi(x+y))/10";
  g.ic_params = {{"kolmogorov", {{"r", 0.1}}}};
  g.nx = 64;
  g.nx_min = 16;
  g.nx_max = static_cast<int64_t>(kMostPoints);
  g.power_of_two = true;
  g.base_nx = 0;
  g.t_end = 5;
  g.save_every = 0.25;
  g.channels = {"vorticity"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<Ns2d>(s); };
  return g;
}

}  // namespace ups::data
