// Accuracy gates of the generators: each against an exact solution, an invariant or a finer computation.
#include <cmath>
#include <complex>
#include <numbers>
#include <numeric>

#include "test_common.h"
#include "ups/core/fft.h"
#include "ups/data/generators/burgers1d.h"
#include "ups/data/generators/cole_hopf.h"
#include "ups/data/generators/darcy2d.h"
#include "ups/data/generators/diffreact2d.h"
#include "ups/data/generators/ks1d.h"

using namespace ups::data;

namespace {

constexpr double kPi = std::numbers::pi;

GenerateSettings settings(const std::string& name, int64_t nx, double t_end, double save, std::map<std::string, double> params = {},
                          const std::string& ic = "") {
  GenerateOptions o;
  o.name = name;
  o.nx = nx;
  if (t_end > 0) {
    o.t_end = t_end;
    o.save_every = save;
  }
  o.params = std::move(params);
  o.ic = ic;
  return resolve(o);
}

std::vector<double> row(const Sample& s, size_t t, size_t nx) {
  const auto first = s.frames.begin() + static_cast<std::ptrdiff_t>(t * nx);
  return {first, first + static_cast<std::ptrdiff_t>(nx)};
}

double mean(const std::vector<double>& v) { return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size()); }

}  // namespace

TEST_CASE("lane FFT and DCT equal their definitions") {
  for (const size_t n : {size_t{2}, size_t{8}, size_t{64}, size_t{128}}) {
    ups::RandomStream random(n);
    LaneArray a(n);
    for (size_t i = 0; i < n * kSignals; ++i) a.data()[i] = random.normal();
    const LaneArray original = a;
    LaneFft fft(n);
    fft.forward(a.data());
    std::vector<std::complex<double>> in(n), out(n);
    for (size_t l = 0; l < kLanes; ++l) {
      for (size_t j = 0; j < n; ++j) in[j] = {original.at(j)[l], original.at(j)[kLanes + l]};
      ups::Fft(n).forward(in, out);
      for (size_t j = 0; j < n; ++j) REQUIRE(std::abs(out[j] - std::complex<double>(a.at(j)[l], a.at(j)[kLanes + l])) < 1e-12);
    }
    fft.inverse(a.data());
    for (size_t i = 0; i < n * kSignals; ++i) REQUIRE(std::abs(a.data()[i] / static_cast<double>(n) - original.data()[i]) < 1e-13);
    LaneDct dct(n);
    a = original;
    dct.forward(a.data());
    for (size_t k = 0; k < n; ++k) {
      for (size_t q = 0; q < kSignals; ++q) {
        double sum = 0;
        for (size_t j = 0; j < n; ++j) {
          sum += original.at(j)[q] * std::cos(kPi * static_cast<double>(k) * (static_cast<double>(j) + 0.5) / static_cast<double>(n));
        }
        REQUIRE(a.at(k)[q] == Approx(sum).margin(1e-11));
      }
    }
    dct.inverse(a.data());
    for (size_t i = 0; i < n * kSignals; ++i) REQUIRE(std::abs(a.data()[i] - original.data()[i]) < 1e-13);
  }
}

TEST_CASE("both instruction sets give the same bits") {
  constexpr size_t kN = 64;
  ups::RandomStream random(3);
  LaneArray v(kN), base(kN), fast(kN);
  std::vector<double> c(kN), d(kN), g(kN);
  for (size_t i = 0; i < kN * kSignals; ++i) v.data()[i] = random.normal(), fast.data()[i] = base.data()[i] = random.normal();
  for (size_t i = 0; i < kN; ++i) c[i] = random.normal(), d[i] = random.normal(), g[i] = random.normal();
  for (auto& [k, out] : {std::pair(&base_lane_kernels(), &base), std::pair(&lane_kernels(), &fast)}) {
    LaneArray sum(kN);
    k->stage2(kN, g.data(), c.data(), d.data(), v.data(), out->data(), sum.data());
    k->dif4(kN, 1, out->data(), std::vector<double>(6 * kN / 4, 0.3).data(), 0, kLanes);
  }
  for (size_t i = 0; i < kN * kSignals; ++i) REQUIRE(base.data()[i] == fast.data()[i]);
}

TEST_CASE("scrambled transforms square a field as ordered ones do") {
  for (const size_t n : {size_t{8}, size_t{64}, size_t{512}, size_t{1024}, size_t{2048}}) {
    ups::RandomStream random(n);
    LaneArray a(n);
    for (size_t i = 0; i < n * kSignals; ++i) a.data()[i] = random.normal();
    LaneArray b = a;
    LaneFft fft(n);
    fft.inverse(a.data());
    lane_kernels().square(n, a.data());
    fft.forward(a.data());
    fft.modes_to_scrambled_points(b.data());
    lane_kernels().square(n, b.data());
    fft.scrambled_points_to_modes(b.data());
    const double scale = static_cast<double>(n * n);
    for (size_t i = 0; i < n * kSignals; ++i) REQUIRE(std::abs(a.data()[i] - b.data()[i]) < 1e-13 * scale);
  }
}

TEST_CASE("initial fields are periodic, and smooth ones leave out the extras") {
  int absolute = 0, window = 0;
  for (uint64_t i = 0; i < 400; ++i) {
    ups::RandomStream a(5, i), b(5, i);
    const InitialField f = draw_initial_field(a, "f1"), g = draw_initial_field(b, "smooth");
    REQUIRE(std::abs(f(0.3) - f(2.3)) < 1e-12);
    REQUIRE(std::accumulate(f.multiple.begin(), f.multiple.end(), 0) == 2);
    REQUIRE_FALSE((g.absolute || g.window));
    if (!f.absolute && !f.window) REQUIRE(f(0.7) == g(0.7));
    absolute += f.absolute;
    window += f.window;
  }
  REQUIRE((absolute > 20 && absolute < 65));
  REQUIRE((window > 20 && window < 65));
}

TEST_CASE("advection1d shifts the formula exactly") {
  const auto s = settings("advection1d", 64, 2, 0.1, {{"beta", 0.4}}, "f1");
  const auto g = find_generator("advection1d").make(s);
  const auto x = g->x();
  REQUIRE(x[1] == Approx(16.5 / 1024));  // every 16th cell centre of 1024
  for (uint64_t i = 0; i < 8; ++i) {
    ups::RandomStream random = sample_stream(s, i);
    const InitialField f = draw_initial_field(random, "f1");
    const Sample sample = g->sample(i);
    for (size_t t = 0; t < 21; ++t) {
      for (size_t j = 0; j < 64; ++j) {
        const double z = x[j] - 0.4 * (0.1 * static_cast<double>(t));
        REQUIRE(static_cast<float>(sample.frames[t * 64 + j]) == Approx(static_cast<float>(f(z - std::floor(z)))).epsilon(1.2e-7));
      }
    }
  }
  // One period at beta = 1 is the identity; the mean of a band-limited field does not change.
  const auto one = find_generator("advection1d").make(settings("advection1d", 64, 1, 0.25, {{"beta", 1}}, "smooth"));
  const Sample sample = one->sample(3);
  for (size_t j = 0; j < 64; ++j) REQUIRE(sample.frames[j] == Approx(sample.frames[4 * 64 + j]).margin(1e-12));
  for (size_t t = 1; t < 5; ++t) REQUIRE(mean(row(sample, t, 64)) == Approx(mean(row(sample, 0, 64))).margin(1e-7));
}

TEST_CASE("burgers1d agrees with Cole-Hopf, keeps the mean and loses energy") {
  Burgers1d g(settings("burgers1d", 256, 1, 0.1, {{"nu", 0.01}}));
  const auto x = g.x();
  REQUIRE(x[0] == Approx(0.5 / 1024));
  REQUIRE(x[1] == Approx(4.5 / 1024));
  const auto samples = g.block(1);
  double worst = 0;
  for (size_t i = 0; i < samples.size(); ++i) {
    const InitialField f = g.initial_field(8 + i);
    const ColeHopf exact(f, g.viscosity());
    for (const size_t t : {size_t{1}, size_t{3}, size_t{10}}) {
      std::vector<double> ours, theirs;
      for (size_t j = 0; j < x.size(); j += 8) {
        ours.push_back(samples[i].frames[t * 256 + j]);
        theirs.push_back(exact(x[j], 0.1 * static_cast<double>(t)));
      }
      worst = std::max(worst, relative_l2(ours, theirs));
    }
  }
  CAPTURE(worst);
  REQUIRE(worst < 1e-6);
}

TEST_CASE("burgers1d at the solver's own resolution: mean and energy") {
  Burgers1d g(settings("burgers1d", 2048, 0.5, 0.05, {{"nu", 0.01}}, "smooth"));
  for (const Sample& s : g.block(0)) {
    double before = 1e300;
    for (size_t t = 0; t <= 10; ++t) {
      const auto u = row(s, t, 2048);
      REQUIRE(std::abs(mean(u) - mean(row(s, 0, 2048))) < 1e-12);
      double energy = 0;
      for (const double v : u) energy += v * v;
      REQUIRE(energy <= before * (1 + 1e-12));
      before = energy;
    }
  }
}

TEST_CASE("burgers1d at small viscosity agrees with Cole-Hopf") {
  Burgers1d g(settings("burgers1d", 64, 0.2, 0.1, {{"nu", 0.001}}, "smooth"));
  const auto samples = g.block(0);
  double worst = 0;
  for (size_t i = 0; i < 4; ++i) {
    const ColeHopf exact(g.initial_field(i), g.viscosity());
    for (const size_t t : {size_t{1}, size_t{2}}) {
      std::vector<double> ours = row(samples[i], t, 64), theirs;
      for (const double p : g.x()) theirs.push_back(exact(p, 0.1 * static_cast<double>(t)));
      worst = std::max(worst, relative_l2(ours, theirs));
    }
  }
  CAPTURE(worst);
  REQUIRE(worst < 1e-5);
}

TEST_CASE("ks1d: fourth order, converged step, mean and energy balance") {
  Ks1d g(settings("ks1d", 64, 2, 1));
  const FlowState start = g.start(0, std::vector<uint64_t>(8, 0), 50);
  const auto run = [&](int64_t divide) {
    FlowState s = start;
    PeriodicFlow flow = g.flow(0.1 / static_cast<double>(divide));
    flow.step(s, 50 * divide);  // 5 time units
    return to_points(s, 64);
  };
  const auto error = [](const LaneArray& a, const LaneArray& b) {
    double worst = 0;
    for (size_t q = 0; q < kSignals; ++q) {
      double top = 0, bottom = 0;
      for (size_t j = 0; j < 64; ++j) {
        const double d = a.at(j)[q] - b.at(j)[q];
        top += d * d;
        bottom += b.at(j)[q] * b.at(j)[q];
      }
      worst = std::max(worst, std::sqrt(top / bottom));
    }
    return worst;
  };
  const LaneArray fine = run(80);  // dt .00125
  const double e1 = error(run(1), fine), e2 = error(run(2), fine), e4 = error(run(4), fine);
  CAPTURE(e1, e2, e4);
  REQUIRE(e4 < 1e-6);
  REQUIRE((e1 / e2 > 8 && e1 / e2 < 20));
  REQUIRE((e2 / e4 > 8 && e2 / e4 < 20));
  // Mean stays 0; d/dt <u^2>/2 = <u_x^2> - <u_xx^2>, by central differences over +-0.001 around t = 0.1. Sums over packed
  // signals of a lane are enough: both sides are sums of |u_k|^2.
  PeriodicFlow tiny = g.flow(0.001);
  FlowState s = start;
  tiny.step(s, 99);
  const auto moments = [](const FlowState& f) {
    double energy = 0, balance = 0;
    for (size_t m = 0; m < f.modes.size(); ++m) {
      const double mode = m <= f.cutoff ? static_cast<double>(m) : static_cast<double>(m) - static_cast<double>(f.modes.size());
      const double k = 2 * kPi / 22 * mode;
      for (size_t q = 0; q < kSignals; ++q) {
        const double power = f.modes.at(m)[q] * f.modes.at(m)[q];
        energy += power / 2;
        balance += (k * k - k * k * k * k) * power;
      }
    }
    return std::pair(energy, balance);
  };
  const double before = moments(s).first;
  tiny.step(s, 1);
  const double balance = moments(s).second;
  tiny.step(s, 1);
  const double rate = (moments(s).first - before) / 0.002;
  REQUIRE(rate == Approx(balance).epsilon(1e-5).margin(1e-5));
  for (size_t q = 0; q < kSignals; ++q) REQUIRE(std::abs(s.modes.at(0)[q]) < 1e-12);
}

TEST_CASE("ks1d rejects trajectories that settle") {
  Sample still;
  for (int t = 0; t < 25; ++t) {
    for (int i = 0; i < 4; ++i) still.frames.push_back(1 + 0.001 * t + i);
  }
  REQUIRE(collapsed(still, 4));
  for (int i = 0; i < 4; ++i) still.frames[static_cast<size_t>(12 * 4 + i)] += 2;  // movement in the middle
  REQUIRE_FALSE(collapsed(still, 4));
}

TEST_CASE("darcy2d: second order, flux balance, positivity") {
  const auto manufactured = [](size_t n) {
    std::vector<double> a(n * n, 1.0), f(n * n), exact(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const double x = (static_cast<double>(i) + 0.5) / static_cast<double>(n), y = (static_cast<double>(j) + 0.5) / static_cast<double>(n);
        exact[i * n + j] = std::sin(kPi * x) * std::sin(kPi * y);
        f[i * n + j] = 2 * kPi * kPi * exact[i * n + j];
      }
    }
    return relative_l2(DarcySolver(n).solve(a, f), exact);
  };
  const double e32 = manufactured(32), e64 = manufactured(64), e128 = manufactured(128);
  REQUIRE(std::log2(e32 / e64) > 1.9);
  REQUIRE(std::log2(e64 / e128) > 1.9);

  for (const std::string ic : {"blobs", "grf"}) {
    Darcy2d g(settings("darcy2d", 32, 0, 0, {{"beta", 2}}, ic));
    DarcySolver solver(32);
    for (uint64_t i = 0; i < 4; ++i) {
      const auto a = g.coefficient(i, 32);
      const auto u = solver.solve(a, std::vector<double>(32 * 32, 2.0));
      REQUIRE(solver.wall_flux(u) == Approx(-2.0).epsilon(1e-9));  // outflow = sum f h^2
      for (const double v : u) REQUIRE(v > 0);
      for (const double v : a) REQUIRE((v == 0.1 || v == 1));
      REQUIRE(g.sample(i).frames == u);
    }
  }
}

TEST_CASE("darcy2d: layers aligned with faces converge at second order; blobs converge") {
  // a = 0.1 for x < 1/2, 1 beyond; u = X(x) sin(pi y) with X = p sin(2 pi x) keeps u and a u_x continuous at x = 1/2 when p a
  // is the same on both sides: p = 10 and 1. Then f = 5 pi^2 a u.
  const auto layered = [](size_t n) {
    std::vector<double> a(n * n), f(n * n), exact(n * n);
    for (size_t i = 0; i < n; ++i) {
      for (size_t j = 0; j < n; ++j) {
        const double x = (static_cast<double>(i) + 0.5) / static_cast<double>(n), y = (static_cast<double>(j) + 0.5) / static_cast<double>(n);
        const size_t c = i * n + j;
        a[c] = x < 0.5 ? 0.1 : 1;
        exact[c] = (x < 0.5 ? 10 : 1) * std::sin(2 * kPi * x) * std::sin(kPi * y);
        f[c] = 5 * kPi * kPi * a[c] * exact[c];
      }
    }
    return relative_l2(DarcySolver(n).solve(a, f), exact);
  };
  const double e32 = layered(32), e64 = layered(64), e128 = layered(128);
  CAPTURE(e32, e64, e128);
  REQUIRE(std::log2(e32 / e64) > 1.8);
  REQUIRE(std::log2(e64 / e128) > 1.8);

  // A 64 x 64 binary coefficient held fixed while the cells shrink to 512.
  Darcy2d g(settings("darcy2d", 64, 0, 0));
  const auto coarse_a = g.coefficient(1, 64);
  std::vector<double> fine_a(512 * 512), average(64 * 64, 0.0);
  for (size_t i = 0; i < 512; ++i) {
    for (size_t j = 0; j < 512; ++j) fine_a[i * 512 + j] = coarse_a[i / 8 * 64 + j / 8];
  }
  const auto coarse = DarcySolver(64).solve(coarse_a, std::vector<double>(64 * 64, 1.0));
  const auto fine = DarcySolver(512).solve(fine_a, std::vector<double>(512 * 512, 1.0), 1e-8);
  for (size_t i = 0; i < 512; ++i) {
    for (size_t j = 0; j < 512; ++j) average[i / 8 * 64 + j / 8] += fine[i * 512 + j] / 64;
  }
  const double difference = relative_l2(coarse, average);
  CAPTURE(difference);
  REQUIRE(difference < 2e-2);
}

TEST_CASE("diffreact2d: converged step, fourth order, exact decay of cosines") {
  constexpr size_t kN = 32;
  ups::RandomStream random(11);
  std::vector<double> u0(kN * kN), v0(kN * kN);
  for (double& v : u0) v = random.normal();
  for (double& v : v0) v = random.normal();
  const auto run = [&](double dt, int64_t steps) {
    DiffReactSolver s(kN, 1e-3, 5e-3, 5e-3, dt);
    s.set(u0, v0);
    s.step(steps);
    std::vector<double> u, v;
    s.get(u, v);
    u.insert(u.end(), v.begin(), v.end());
    return u;
  };
  const auto fine = run(0.00125, 400);
  const double e1 = relative_l2(run(0.025, 20), fine), e2 = relative_l2(run(0.0125, 40), fine), e4 = relative_l2(run(0.00625, 80), fine);
  CAPTURE(e1, e2, e4);
  REQUIRE(e2 < 1e-6);
  REQUIRE(std::log2(e1 / e2) > 3.7);
  REQUIRE(std::log2(e2 / e4) > 3.7);

  // Pure diffusion: cos(pi p (i + 1/2)/n) cos(pi q (j + 1/2)/n) decays by the discrete eigenvalue; x and y differ.
  DiffReactSolver s(kN, 1e-2, 5e-2, 0, 0.05, false);
  std::vector<double> u, v;
  const auto wave = [](size_t mode, size_t i) { return std::cos(kPi * static_cast<double>(mode) * (static_cast<double>(i) + 0.5) / kN); };
  for (size_t y = 0; y < kN; ++y) {
    for (size_t x = 0; x < kN; ++x) {
      u0[y * kN + x] = wave(3, x) * wave(1, y);
      v0[y * kN + x] = wave(5, y);
    }
  }
  s.set(u0, v0);
  s.step(10);
  s.get(u, v);
  const auto lambda = [](double mode) { return -4 * std::pow(std::sin(kPi * mode / (2 * kN)) * kN / 2, 2); };
  const double du = std::exp(1e-2 * 0.5 * (lambda(3) + lambda(1))), dv = std::exp(5e-2 * 0.5 * lambda(5));
  for (size_t c = 0; c < kN * kN; ++c) {
    REQUIRE(std::abs(u[c] - du * u0[c]) < 1e-12);
    REQUIRE(std::abs(v[c] - dv * v0[c]) < 1e-12);
  }
}
