#include "ups/models/layers.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ups::models {

Linear::Linear(int64_t in, int64_t out, uint64_t seed, const std::string& key, Role role, double gain, double bias_gain) {
  const double root = std::sqrt(static_cast<double>(in));
  weight = add_parameter("weight", uniform_init({out, in}, gain / root, seed, key + ".weight"), role);
  bias = add_parameter("bias", bias_gain == 0 ? at::zeros({out}) : uniform_init({out}, bias_gain / root, seed, key + ".bias"));
}

Tensor Linear::operator()(const Tensor& x) const { return at::linear(x, weight, bias); }

int64_t TokenGrid::tokens() const {
  int64_t n = 1;
  for (int64_t s : size) n *= s;
  return n;
}

int64_t window_for(int64_t n, int64_t limit) {
  for (int64_t w = std::min(n, limit); w > 1; --w)
    if (n % w == 0) return w;
  return 1;
}

}  // namespace ups::models
