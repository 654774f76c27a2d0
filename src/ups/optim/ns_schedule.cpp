// Compiled with -ffp-contract=off: the generator is compared with published tables to 1e-13.
#include "ups/optim/ns_schedule.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <utility>

namespace ups::optim {
namespace {

using Row = std::array<double, 3>;

double value(const Row& p, double x) {
  const double y = x * x;
  return x * (p[0] + y * (p[1] + y * p[2]));
}

// Gaussian elimination with partial pivoting.
std::array<double, 4> solve4(std::array<std::array<double, 5>, 4> m) {
  for (size_t c = 0; c < 4; ++c) {
    size_t pivot = c;
    for (size_t r = c + 1; r < 4; ++r)
      if (std::abs(m[r][c]) > std::abs(m[pivot][c])) pivot = r;
    std::swap(m[c], m[pivot]);
    for (size_t r = c + 1; r < 4; ++r) {
      const double f = m[r][c] / m[c][c];
      for (size_t k = c; k < 5; ++k) m[r][k] -= f * m[c][k];
    }
  }
  std::array<double, 4> x{};
  for (size_t i = 4; i-- > 0;) {
    double s = m[i][4];
    for (size_t k = i + 1; k < 4; ++k) s -= m[i][k] * x[k];
    x[i] = s / m[i][i];
  }
  return x;
}

// Best odd quintic for 1 on [l, u] by the Remez exchange: error +-E at l, q, r, u.
Row minimax_quintic(double l, double u) {
  if (l / u >= 1 - 5e-6) return {15.0 / 8 / u, -10.0 / 8 / std::pow(u, 3), 3.0 / 8 / std::pow(u, 5)};
  double q = (3 * l + u) / 4, r = (l + 3 * u) / 4, error = INFINITY;
  Row p{};
  for (int round = 0; round < 1000; ++round) {
    const auto line = [](double x, double sign) {
      return std::array<double, 5>{x, std::pow(x, 3), std::pow(x, 5), sign, 1.0};
    };
    const auto s = solve4({line(l, 1), line(q, -1), line(r, 1), line(u, -1)});
    p = {s[0], s[1], s[2]};
    const double root = std::sqrt(9 * p[1] * p[1] - 20 * p[0] * p[2]);
    q = std::sqrt((-3 * p[1] - root) / (10 * p[2]));
    r = std::sqrt((-3 * p[1] + root) / (10 * p[2]));
    const double before = std::exchange(error, s[3]);
    if (std::abs(error - before) <= 1e-15) break;
  }
  return p;
}

std::vector<Row> fixed_table(const std::string& name) {
  const Row kj{3.4445, -4.7750, 2.0315};
  if (name == "kj") return {kj};
  if (name == "you")
    return {{4.0848, -6.8946, 2.9270}, {3.9505, -6.3029, 2.6377}, {3.7418, -5.5913, 2.3037}, {2.8769, -3.1427, 1.2046},
            {2.8366, -3.0525, 1.2012}};
  if (name == "cans")
    return {{8.4703, -25.1081, 18.6293}, {4.1828, -3.1087, .5806}, {3.9619, -2.9541, .5630}, {3.2866, -2.4647, .5074},
            {2.2737, -1.6447, .4162}};
  if (name == "deepseek_v4") {
    std::vector<Row> rows(8, kj);
    rows.insert(rows.end(), 2, Row{2, -1.5, .5});
    return rows;
  }
  assert(name == "cubic5");
  return {{3.3656576, -3.3420992, 0}, {2.5744352, -1.4957376, 0}, {2.5368962, -1.4312570, 0}, {2.4418906, -1.2764040, 0},
          {2.2230472, -.9630650, 0}};
}

}  // namespace

std::vector<Row> polar_express(int64_t k, double l0, double cushion, double sf) {
  std::vector<Row> rows;
  double l = l0, u = 1;
  for (int64_t i = 0; i < k; ++i) {
    Row p = minimax_quintic(std::max(l, cushion * u), u);
    if (cushion * u > l) {  // the cushion flattened p below its interval: centre it on [p(l), p(u)] again
      const double f = 2 / (value(p, l) + value(p, u));
      for (double& c : p) c *= f;
    }
    if (i < k - 1) p = {p[0] / sf, p[1] / std::pow(sf, 3), p[2] / std::pow(sf, 5)};
    rows.push_back(p);
    l = value(p, l);
    u = 2 - l;
    l = std::min(l, u);
  }
  return rows;
}

NsSchedule ns_schedule(const std::string& name, int64_t k, const std::vector<std::vector<double>>& coefficients) {
  assert(k >= 1);
  NsSchedule out;
  if (name == "polar_express") {
    out.steps = polar_express(k, k >= 5 ? 1e-3 : k == 4 ? 1e-2 : 3e-2, 0.02, 1.02);
    out.norm_scale = 1.02;
    return out;
  }
  if (name == "custom") {
    for (const auto& c : coefficients) out.steps.push_back({c.at(0), c.at(1), c.at(2)});
  } else {
    out.steps = fixed_table(name);
  }
  out.steps.resize(static_cast<size_t>(k), out.steps.back());
  return out;
}

}  // namespace ups::optim
