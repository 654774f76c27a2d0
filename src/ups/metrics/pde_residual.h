// How far two frames of a field are from one time step of a known equation: the defect of a discrete scheme that joins them, in units
// of the field. Nothing is integrated; both frames enter. Definitions: docs/metrics.md.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ups::metrics {

// One channel on a periodic interval. An object per thread (it owns an FFT).
class StepResidual {
 public:
  virtual ~StepResidual() = default;
  // Defect per cell of the step before -> after (both [cells]); parameter: the equation's own (nu of Burgers, beta of advection; none for KS).
  virtual std::vector<double> defect(std::span<const float> before, std::span<const float> after, double parameter) = 0;
  // What the equation lets mean_x u^2 grow by in the step; 0 where energy can only fall or stay.
  virtual double energy_growth(std::span<const float>, std::span<const float>) { return 0; }
};

struct StepGrid {
  int64_t points = 0;
  double length = 1, dt = 0;
};

// Crank-Nicolson along characteristics, for advection (speed beta) and Burgers (speed u, viscosity nu/pi):
//   u1(x) - u0(x - dt c) - dt nu/(2 pi) (u0_xx(x - dt c) + u1_xx(x)),  c = beta or u1(x).
// Characteristics run into fronts and never out of them, so this holds on both sides of a front that crosses many cells in the step,
// where a difference in time at a fixed point means nothing. Sixth-order interpolation, second-order u_xx. Inside a front it
// does not hold: residual_size cuts it off there.
std::unique_ptr<StepResidual> characteristic_residual(const StepGrid& grid, bool burgers);

// u_t + u u_x + u_xx + u_xxxx = 0, spectral (2/3 rule), by Obreshkov's two-point formulas of order 2 (Crank-Nicolson), 4 or 6:
//   u1 - u0 - sum_j c_j dt^j (u0^(j) - (-1)^j u1^(j)),  c = {1/2}, {1/2, 1/12}, {1/2, 1/10, 1/120},
// u^(j) the j-th time derivative, got from the equation by Leibniz' rule. Each mode is divided by the formula's own factor of u1,
// 1 + sum_j c_j (-dt l_k)^j with l_k = k^2 - k^4, at least 1: an error of u1 then counts once in every mode, stiff ones included.
std::unique_ptr<StepResidual> kuramoto_residual(const StepGrid& grid, int order);

// By PDE family: advection1d, burgers1d, ks1d; null for others.
std::unique_ptr<StepResidual> step_residual(const std::string& family, const StepGrid& grid, int order);
// Name of the parameter that the family's residual needs; empty if none.
std::string residual_parameter(const std::string& family);

// Root mean square of the defect, each cell cut off at ten times the median magnitude: a front, where no local formula holds and
// every candidate errs, must not drown the rest.
double residual_size(std::span<const double> defect);

}  // namespace ups::metrics
