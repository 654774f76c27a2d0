// The defect of a step: exact solutions have none, hand-computed fields have the one of the formula.
#include <cmath>
#include <numbers>

#include "test_common.h"
#include "ups/metrics/pde_residual.h"

using namespace ups::metrics;
using std::numbers::pi;

namespace {

constexpr int64_t kPoints = 128;

std::vector<float> field(auto f, double length = 1) {
  std::vector<float> u;
  for (int64_t i = 0; i < kPoints; ++i) u.push_back(static_cast<float>(f(length * static_cast<double>(i) / static_cast<double>(kPoints))));
  return u;
}

double size_of(StepResidual& r, const std::vector<float>& before, const std::vector<float>& after, double parameter) {
  return residual_size(r.defect(before, after, parameter));
}

// u' = u u' forwards along characteristics, without viscosity: u1(x) = u0(x - dt u1(x)), by fixed-point iteration.
std::vector<float> inviscid_step(auto u0, double dt) {
  return field([&](double x) {
    double u = 0;
    for (int k = 0; k < 200; ++k) u = u0(x - dt * u);
    return u;
  });
}

}  // namespace

TEST_CASE("advection: a shifted field has no defect, a wrong one has its error", "[residual]") {
  const auto wave = [](double x) { return std::sin(2 * pi * x) + 0.3 * std::cos(6 * pi * x); };
  const auto residual = step_residual("advection1d", {kPoints, 1, 0.37}, 2);
  const auto before = field(wave), exact = field([&](double x) { return wave(x - 0.37 * 1.7); });
  CHECK(size_of(*residual, before, exact, 1.7) < 1e-6);
  const auto raised = field([&](double x) { return wave(x - 0.37 * 1.7) + 0.01; });
  CHECK(size_of(*residual, before, raised, 1.7) == Approx(0.01).epsilon(1e-3));
  CHECK(size_of(*residual, before, exact, -1.7) > 0.1);
  CHECK(residual_parameter("advection1d") == "beta");
}

TEST_CASE("Burgers: defect along characteristics, viscosity nu / pi", "[residual]") {
  const auto u0 = [](double x) { return 1.3 + 0.4 * std::sin(2 * pi * x); };
  const double dt = 0.2;  // the field moves 33 cells and does not break
  const auto residual = step_residual("burgers1d", {kPoints, 1, dt}, 2);
  const auto before = field(u0), exact = inviscid_step(u0, dt);
  const double none = size_of(*residual, before, exact, 0);
  CHECK(none < 2e-6);
  for (const double shift : {-1e-3, 1e-3}) {
    const auto wrong = inviscid_step([&](double x) { return u0(x - shift); }, dt);
    CHECK(size_of(*residual, before, wrong, 0) > 100 * none);
  }
  // On constants plus a small wave the viscous terms are those of the heat equation.
  const auto small = [](double amplitude) { return [amplitude](double x) { return amplitude * std::sin(2 * pi * x); }; };
  const double nu = 0.02, decay = 4 * pi * pi * nu / pi * dt;
  const auto d = residual->defect(field(small(1e-3)), field(small(1e-3)), nu);
  CHECK(d[kPoints / 4] == Approx(1e-3 * decay).epsilon(2e-3));
}

TEST_CASE("Kuramoto-Sivashinsky: small waves obey the formula's own growth factor; order shows", "[residual]") {
  const double length = 22, dt = 1, k = 2 * pi / length * 4, rate = k * k - k * k * k * k;
  const double amplitude = 1e-4;  // the nonlinear term is a ten-thousandth of the others
  const auto wave = [&](double a) { return field([=](double x) { return a * std::cos(k * x); }, length); };
  const auto before = wave(amplitude), exact = wave(amplitude * std::exp(rate * dt));
  double last = 1;
  for (const int order : {2, 4, 6}) {
    const auto residual = kuramoto_residual({kPoints, length, dt}, order);
    const double z = rate * dt;
    const double up = order == 2 ? 1 + z / 2 : order == 4 ? 1 + z / 2 + z * z / 12 : 1 + z / 2 + z * z / 10 + z * z * z / 120;
    const double down = order == 2 ? 1 - z / 2 : order == 4 ? 1 - z / 2 + z * z / 12 : 1 - z / 2 + z * z / 10 - z * z * z / 120;
    const auto d = residual->defect(before, exact, 0);
    CHECK(d[0] == Approx(amplitude * (std::exp(z) * down - up) / std::max(1.0, down)).margin(3e-8));
    const double defect = std::abs(std::exp(z) * down - up);
    CHECK(defect < 0.2 * last);
    last = defect;
    // A mode that the equation damps at once counts once, whatever the order.
    const auto spoilt = field([&](double x) { return amplitude * std::exp(z) * std::cos(k * x) + 1e-4 * std::cos(2 * pi * 40 * x / length); }, length);
    const auto more = residual->defect(before, spoilt, 0);
    CHECK(more[0] - d[0] == Approx(1e-4).epsilon(0.02));
  }
}

TEST_CASE("Kuramoto-Sivashinsky: energy grows by its own budget", "[residual]") {
  const double length = 22, dt = 0.01, k = 2 * pi / length * 3, rate = k * k - k * k * k * k;
  const auto wave = [&](double a) { return field([=](double x) { return a * std::cos(k * x); }, length); };
  const auto before = wave(1), after = wave(std::exp(rate * dt));
  const double growth = (std::exp(2 * rate * dt) - 1) / 2;
  CHECK(kuramoto_residual({kPoints, length, dt}, 2)->energy_growth(before, after) == Approx(growth).epsilon(1e-4));
  CHECK(step_residual("burgers1d", {kPoints, 1, dt}, 2)->energy_growth(before, after) == 0);
}

TEST_CASE("size of a defect: fronts are cut off, unknown families have none", "[residual]") {
  std::vector<double> d(100, 0.1);
  CHECK(residual_size(d) == Approx(0.1));
  d[7] = -50;
  CHECK(residual_size(d) == Approx(std::sqrt((99 * 0.01 + 1) / 100)));
  d[8] = std::nan("");
  CHECK(std::isinf(residual_size(d)));
  CHECK(step_residual("darcy2d", {kPoints, 1, 1}, 2) == nullptr);
  CHECK(residual_parameter("ks1d").empty());
}
