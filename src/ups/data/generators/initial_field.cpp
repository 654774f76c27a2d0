#include "ups/data/generators/initial_field.h"

#include <cmath>
#include <numbers>

namespace ups::data {

double InitialField::operator()(double x) const {
  x -= std::floor(x);
  double sum = 0;
  for (size_t k = 0; k < 4; ++k) {
    const double wave = 2 * std::numbers::pi * static_cast<double>(k + 1) * multiple[k];
    sum += amplitude[k] * std::sin(wave * x + phase[k]);
  }
  if (absolute) sum = std::abs(sum);
  if (window) sum *= 0.5 * (std::tanh((x - a) / 0.01) - std::tanh((x - b) / 0.01));
  return sign * sum;
}

InitialField draw_initial_field(RandomStream& random, const std::string& ic) {
  InitialField f;
  for (int draw = 0; draw < 2; ++draw) ++f.multiple[random.below(4)];
  for (double& a : f.amplitude) a = random.uniform();
  for (double& p : f.phase) p = random.uniform(0, 2 * std::numbers::pi);
  f.sign = random.uniform() < 0.5 ? -1 : 1;
  f.absolute = random.uniform() < 0.1;
  f.window = random.uniform() < 0.1;
  f.a = random.uniform(0.1, 0.45);
  f.b = random.uniform(0.55, 0.9);
  if (ic == "smooth") f.absolute = f.window = false;
  return f;
}

}  // namespace ups::data
