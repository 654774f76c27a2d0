// What stages and evaluation ask of a network on fields: one call, batch first, channels before space.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "ups/models/module.h"

namespace ups::models {

// Everything besides the fields. Undefined tensors are absent; a model ignores what it was not built for.
struct Condition {
  Tensor dt;        // [B] time step of the prediction
  Tensor params;    // [B, P] normalised PDE parameters
  Tensor boundary;  // [B, K] one-hot (or multi-hot) boundary kinds
  Tensor tau;       // [B] noise level of flow models
  Tensor step;      // [B] step length of flow maps (0 = velocity, -1 = null-noise token)
};

class FieldModel : public Module {
 public:
  // x [B, Cin, X(, Y)] -> [B, Cout, X(, Y)].
  virtual Tensor forward(const Tensor& x, const Condition& condition) = 0;
};

}  // namespace ups::models
