// Scalars that condition a network: dt, PDE parameters, boundary kind, noise level and step of flow models.
#pragma once
#include <memory>

#include "ups/models/field_model.h"
#include "ups/models/layers.h"

namespace ups::models {

// Sum of one embedding per source, then SiLU; blocks turn it into shifts, scales and gates.
class ConditionEmbedding : public Module {
 public:
  ConditionEmbedding(int64_t dim, bool dt, int64_t parameters, int64_t boundary_kinds, bool tau, uint64_t seed);
  Tensor operator()(const Condition& condition, int64_t batch, const at::TensorOptions& options) const;  // [B, dim]

 private:
  std::unique_ptr<Linear> dt_, params_, boundary_, tau_, step_, out_;
};

// [B] -> [B, 2 n]: sin and cos of x at n geometric frequencies between 1 and max_frequency.
Tensor sinusoidal(const Tensor& x, int64_t n, double max_frequency);

}  // namespace ups::models
