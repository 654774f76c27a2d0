#include "ups/data/generators/burgers1d.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ups/data/generators/cole_hopf.h"

namespace ups::data {
namespace {

constexpr size_t kCoarsest = 128;
constexpr size_t kSampling = 16384;  // points at which the initial field enters: its kinks then alias at 1e-8
constexpr double kSlowest = 0.1;     // speed below which steps grow no more

// Chosen so that random fields, not only mild ones, stay within 1e-6 of Cole-Hopf (1e-5 for nu < 0.01).
struct Accuracy {
  size_t finest;   // points; used whatever the spectrum
  double tail;     // a coarser grid is enough while the last sixteenth of its modes stays below this share of the largest mode
  double courant;  // dt = courant / (points * largest |u - mean|): a front takes many steps to pass a point
};
Accuracy accuracy(double nu) {
  if (nu >= 0.01) return {2048, 1e-9, 1.2};
  return {nu >= 0.002 ? size_t{4096} : size_t{8192}, 1e-6, 1.6};
}

// 1, 2, 3, 4, 6, 8, 12, ..: few different step sizes, since each has its own table of coefficients.
int64_t round_up_steps(double steps) {
  int64_t power = 1;
  while (static_cast<double>(power) < steps) power *= 2;
  return power >= 4 && static_cast<double>(power / 4 * 3) >= steps ? power / 4 * 3 : power;
}

double largest_value(const FlowState& s) {
  const LaneArray points = to_points(s, 256);
  double largest = 0;
  for (size_t i = 0; i < points.size() * kSignals; ++i) largest = std::max(largest, std::abs(points.data()[i]));
  return largest;
}

bool resolved(const FlowState& s, size_t cutoff, double tolerance) {
  return largest_mode(s, cutoff - cutoff / 16, s.cutoff) <= tolerance * largest_mode(s, 0, s.cutoff);
}

}  // namespace

Burgers1d::Burgers1d(const GenerateSettings& settings)
    : settings_(settings), finest_(std::max(accuracy(settings.param("nu")).finest, static_cast<size_t>(settings.nx))) {
  slices_ = static_cast<int64_t>(std::ceil(settings_.save_every / 0.0125 - 1e-9));
  slice_ = settings_.save_every / static_cast<double>(slices_);
}

double Burgers1d::viscosity() const { return settings_.param("nu") / std::numbers::pi; }

std::string Burgers1d::scheme() const {
  return "Fourier pseudo-spectral in the frame of the mean, 2/3 rule, up to " + std::to_string(finest_) +
         " points following the spectrum; ETDRK4 (32-point contour), dt <= 1.6/(points max|u|)";
}

InitialField Burgers1d::initial_field(uint64_t sample) const {
  RandomStream random = sample_stream(settings_, sample);
  return draw_initial_field(random, settings_.ic);
}

PeriodicFlow& Burgers1d::flow(size_t n, int64_t steps) {
  auto& made = flows_[{n, steps}];
  if (!made) {
    const double mu = viscosity();
    made = std::make_unique<PeriodicFlow>(n, 1.0, slice_ / static_cast<double>(steps), [mu](double k) { return -mu * k * k; });
  }
  return *made;
}

void Burgers1d::advance(FlowState& state, size_t& n) {
  const FlowState before = state;
  const Accuracy goal = accuracy(settings_.param("nu"));
  const double speed = largest_value(before);
  if (!(speed < 1e6)) return;  // blown up: the driver reports it
  for (;;) {
    const int64_t steps = round_up_steps(slice_ * static_cast<double>(n) * std::max(speed, kSlowest) / goal.courant);
    state = with_cutoff(before, n / 3);
    flow(n, steps).step(state, steps);
    if (n >= finest_ || resolved(state, state.cutoff, goal.tail)) break;
    n *= 2;  // a front steepened within this slice: once more on a finer grid
  }
  while (n > kCoarsest && resolved(state, n / 2 / 3, goal.tail / 4)) {
    n /= 2;
    state = with_cutoff(state, n / 3);
  }
}

std::vector<Sample> Burgers1d::block(uint64_t index) {
  const auto nx = static_cast<size_t>(settings_.nx), frames = static_cast<size_t>(settings_.frames);
  const double origin = x().front();  // the solver's nodes are origin + j/n, so stored points are nodes
  LaneArray start(kSampling);
  std::vector<Sample> out(kSignals);
  for (size_t q = 0; q < kSignals; ++q) {
    const InitialField field = initial_field(index * kSignals + q);
    for (size_t j = 0; j < kSampling; ++j) {
      start.at(j)[signal_offset(q)] = field(origin + static_cast<double>(j) / static_cast<double>(kSampling));
    }
    out[q].frames.resize(frames * nx);
    for (size_t i = 0; i < nx; ++i) out[q].frames[i] = start.at(i * (kSampling / nx))[signal_offset(q)];
  }
  size_t n = finest_;
  FlowState state = to_modes(start, n / 3);
  const std::vector<double> means = remove_means(state);  // solved in the frame that moves with the mean
  while (n > kCoarsest && resolved(state, n / 2 / 3, accuracy(settings_.param("nu")).tail / 4)) n /= 2;
  std::vector<double> moved(kSignals);
  for (size_t t = 1; t < frames; ++t) {
    for (int64_t s = 0; s < slices_; ++s) advance(state, n);
    for (size_t q = 0; q < kSignals; ++q) moved[q] = means[q] * settings_.save_every * static_cast<double>(t);
    const LaneArray points = to_points(shifted(state, 1, moved, means), nx);
    for (size_t q = 0; q < kSignals; ++q) {
      for (size_t i = 0; i < nx; ++i) out[q].frames[t * nx + i] = points.at(i)[signal_offset(q)];
    }
  }
  return out;
}

double Burgers1d::measure_tolerance() {
  const auto samples = block(0);
  const std::vector<double> points = x();
  const size_t nx = points.size(), frames = static_cast<size_t>(settings_.frames), skip = std::max<size_t>(1, nx / 64);
  double worst = 0;
  for (uint64_t i = 0; i < 2; ++i) {
    const ColeHopf exact(initial_field(i), viscosity());
    for (const size_t t : {size_t{1}, frames / 2, frames - 1}) {
      std::vector<double> ours, theirs;
      for (size_t j = 0; j < nx; j += skip) {
        ours.push_back(samples[i].frames[t * nx + j]);
        theirs.push_back(exact(points[j], settings_.save_every * static_cast<double>(t)));
      }
      worst = std::max(worst, relative_l2(ours, theirs));
    }
  }
  return worst;
}

GeneratorInfo burgers1d_info() {
  GeneratorInfo g;
  g.name = "burgers1d";
  g.summary = "viscous Burgers' equation in one dimension: fronts form and merge";
  g.equation = "u_t + (u^2/2)_x = (nu/pi) u_xx on (0,1)";
  g.boundary = "periodic";
  g.layout = Layout::pdebench;
  g.params = {{"nu", "Nu", "viscosity times pi, as PDEBench counts it", 0.01, 0.001, 10}};
  g.ics = {"f1", "smooth"};
  g.ic_doc = "f1: random sines, some with |.| or a window; smooth: random sines only";
  g.nx = 1024;
  g.nx_min = 16;
  g.nx_max = 4096;
  g.power_of_two = true;
  g.base_nx = 1024;
  g.t_end = 2;
  g.save_every = 0.01;
  g.channels = {"u"};
  g.make = [](const GenerateSettings& s) -> std::unique_ptr<Generator> { return std::make_unique<Burgers1d>(s); };
  return g;
}

}  // namespace ups::data
