#include "ups/metrics/pde_residual.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <complex>
#include <numbers>

#include "ups/core/fft.h"
#include "ups/metrics/statistics.h"

namespace ups::metrics {
namespace {

constexpr double kCutOff = 10;  // medians

// Values and second derivatives of a periodic field between its points, by Lagrange's polynomial through six of them.
class Interpolant {
 public:
  Interpolant(std::span<const float> u, double spacing) : value_(u.begin(), u.end()), curvature_(u.size()) {
    const size_t n = u.size();
    for (size_t i = 0; i < n; ++i) {
      curvature_[i] = (value_[(i + 1) % n] - 2 * value_[i] + value_[(i + n - 1) % n]) / (spacing * spacing);
    }
  }
  double curvature(size_t i) const { return curvature_[i]; }
  // {u, u_xx} at `cell`, counted in cells.
  std::array<double, 2> at(double cell) const {
    const double low = std::floor(cell), a = cell - low;
    const auto n = static_cast<int64_t>(value_.size());
    std::array<double, 2> out{};
    for (int64_t j = -2; j <= 3; ++j) {
      double weight = 1;
      for (int64_t k = -2; k <= 3; ++k) {
        if (k != j) weight *= (a - static_cast<double>(k)) / static_cast<double>(j - k);
      }
      const auto i = static_cast<size_t>(((static_cast<int64_t>(low) + j) % n + n) % n);
      out[0] += weight * value_[i];
      out[1] += weight * curvature_[i];
    }
    return out;
  }

 private:
  std::vector<double> value_, curvature_;
};

class CharacteristicResidual : public StepResidual {
 public:
  CharacteristicResidual(const StepGrid& grid, bool burgers) : grid_(grid), burgers_(burgers) {}

  std::vector<double> defect(std::span<const float> before, std::span<const float> after, double parameter) override {
    const auto n = static_cast<size_t>(grid_.points);
    assert(before.size() == n && after.size() == n);
    const double spacing = grid_.length / static_cast<double>(n), viscosity = burgers_ ? parameter / std::numbers::pi : 0;
    const Interpolant u0(before, spacing), u1(after, spacing);
    std::vector<double> out(n, std::nan(""));
    for (size_t i = 0; i < n; ++i) {
      const double value = after[i], speed = burgers_ ? value : parameter;
      const double foot = static_cast<double>(i) - grid_.dt * speed / spacing;
      if (!std::isfinite(foot) || std::abs(foot) > 1e9) continue;
      const auto [start, curvature] = u0.at(foot);
      out[i] = value - start - grid_.dt * viscosity / 2 * (curvature + u1.curvature(i));
    }
    return out;
  }

 private:
  StepGrid grid_;
  bool burgers_;
};

class KuramotoResidual : public StepResidual {
  using Complex = std::complex<double>;
  using Values = std::vector<double>;

 public:
  KuramotoResidual(const StepGrid& grid, int order) : grid_(grid), fft_(static_cast<size_t>(grid.points)) {
    assert(order == 2 || order == 4 || order == 6);
    c_ = order == 2 ? Values{1.0 / 2} : order == 4 ? Values{1.0 / 2, 1.0 / 12} : Values{1.0 / 2, 1.0 / 10, 1.0 / 120};
    for (int64_t mode = 0; mode <= grid.points / 2; ++mode) {
      k_.push_back(2 * std::numbers::pi * static_cast<double>(mode) / grid.length);
      kept_.push_back(mode <= grid.points / 3 ? 1.0 : 0.0);
    }
  }

  std::vector<double> defect(std::span<const float> before, std::span<const float> after, double) override {
    const auto n = static_cast<size_t>(grid_.points);
    assert(before.size() == n && after.size() == n);
    const auto start = time_derivatives(before), end = time_derivatives(after);
    Values r(n);
    for (size_t i = 0; i < n; ++i) {
      r[i] = end[0][i] - start[0][i];
      double power = 1, sign = 1;
      for (size_t j = 1; j <= c_.size(); ++j) {
        power *= grid_.dt, sign = -sign;
        r[i] -= c_[j - 1] * power * (start[j][i] - sign * end[j][i]);
      }
    }
    return modes(r, [this](size_t m) {
      double factor = 1, power = 1;
      for (const double c : c_) factor += c * (power *= -grid_.dt * symbol(m));
      return Complex(1 / std::max(1.0, std::abs(factor)));
    });
  }

  // d/dt mean u^2 = 2 mean (u_x^2 - u_xx^2), by the trapezoidal rule.
  double energy_growth(std::span<const float> before, std::span<const float> after) override {
    double rate = 0;
    for (const auto& u : {before, after}) {
      const Values values(u.begin(), u.end()), lu = modes(values, [this](size_t m) { return Complex(symbol(m)); });
      for (size_t i = 0; i < values.size(); ++i) rate += values[i] * lu[i] / static_cast<double>(values.size());
    }
    return grid_.dt * rate;  // twice the mean of two rates
  }

 private:
  double symbol(size_t mode) const { return k_[mode] * k_[mode] * (1 - k_[mode] * k_[mode]); }

  // Field whose modes are factor(mode) times those of u.
  template <class Factor>
  Values modes(const Values& u, Factor factor) {
    std::vector<Complex> hat(k_.size());
    fft_.rfft(u, hat);
    for (size_t m = 0; m < hat.size(); ++m) hat[m] *= factor(m);
    Values out(u.size());
    fft_.irfft(hat, out);
    return out;
  }

  // u, u', u'', .. : u^(j+1) = l u^(j) - (1/2) d/dx sum_i binomial(j, i) u^(i) u^(j-i).
  std::vector<Values> time_derivatives(std::span<const float> field) {
    std::vector<Values> d = {Values(field.begin(), field.end())};
    for (size_t j = 0; j < c_.size(); ++j) {
      Values product(field.size(), 0.0);
      double binomial = 1;
      for (size_t i = 0; i <= j; ++i) {
        for (size_t x = 0; x < product.size(); ++x) product[x] += binomial * d[i][x] * d[j - i][x];
        binomial = binomial * static_cast<double>(j - i) / static_cast<double>(i + 1);
      }
      Values next = modes(d[j], [this](size_t m) { return Complex(symbol(m)); });
      const Values flux = modes(product, [this](size_t m) { return Complex(0, -k_[m] / 2 * kept_[m]); });
      for (size_t x = 0; x < next.size(); ++x) next[x] += flux[x];
      d.push_back(std::move(next));
    }
    return d;
  }

  StepGrid grid_;
  Fft fft_;
  Values c_, k_, kept_;  // the formula's coefficients; wave numbers; 1 for modes inside the 2/3 rule
};

}  // namespace

std::unique_ptr<StepResidual> characteristic_residual(const StepGrid& grid, bool burgers) {
  return std::make_unique<CharacteristicResidual>(grid, burgers);
}

std::unique_ptr<StepResidual> kuramoto_residual(const StepGrid& grid, int order) { return std::make_unique<KuramotoResidual>(grid, order); }

std::unique_ptr<StepResidual> step_residual(const std::string& family, const StepGrid& grid, int order) {
  if (family == "advection1d" || family == "burgers1d") return characteristic_residual(grid, family == "burgers1d");
  return family == "ks1d" ? kuramoto_residual(grid, order) : nullptr;
}

std::string residual_parameter(const std::string& family) {
  return family == "advection1d" ? "beta" : family == "burgers1d" ? "nu" : "";
}

double residual_size(std::span<const double> defect) {
  std::vector<double> magnitude;
  for (double d : defect) {
    if (!std::isfinite(d)) return std::numeric_limits<double>::infinity();
    magnitude.push_back(std::abs(d));
  }
  const double limit = kCutOff * median(magnitude);
  double sum = 0;
  for (double d : magnitude) sum += std::min(d, limit) * std::min(d, limit);
  return std::sqrt(sum / static_cast<double>(magnitude.size()));
}

}  // namespace ups::metrics
