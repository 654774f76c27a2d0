// Small layers on tokens. Tokens are stored position-major, [N, B, D]: a matrix product over positions (spectral mixing) and one
// over features (linear) then both see contiguous memory.
#pragma once
#include <string>

#include "ups/models/module.h"

namespace ups::models {

// y = x W^T + b, W [out, in].
class Linear : public Module {
 public:
  // gain scales the default bound 1/sqrt(in) of the weights, bias_gain that of the bias; 0 gives zeros. `key` seeds the initial values.
  Linear(int64_t in, int64_t out, uint64_t seed, const std::string& key, Role role = Role::hidden, double gain = 1.0, double bias_gain = 0.0);
  Tensor operator()(const Tensor& x) const;
  Tensor weight, bias;
};

// Geometry of a token grid: sizes per axis (1 or 2 axes) and whether each is periodic.
struct TokenGrid {
  std::vector<int64_t> size;
  std::vector<bool> periodic;
  int64_t tokens() const;
};

// Largest divisor of n that is <= limit.
int64_t window_for(int64_t n, int64_t limit);

}  // namespace ups::models
