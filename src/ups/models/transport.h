// Token mixing by transport: every head reads its values at a learned displacement, as a semi-Lagrangian scheme traces a
// characteristic back to its foot (deformable attention with one sampling point per head). One layer moves a front by many cells and
// keeps it sharp, for the price of a lookup.
#pragma once
#include "ups/models/fused_mixing.h"
#include "ups/models/layers.h"

namespace ups::models {

// y(x) = v(x + d(x)), v = W x + b, d = kReach (U x + c) in tokens, one displacement per head and axis; between tokens values are
// interpolated linearly (1-D: 2 taps, 2-D: 4). Periodic axes wrap; elsewhere displacements end at the border.
class Transport : public Module {
 public:
  // dim is a multiple of heads.
  Transport(int64_t dim, int64_t heads, TokenGrid grid, uint64_t seed, const std::string& key);
  Tensor operator()(const Tensor& x) const;  // [N, B, D]
  void lend(fused::MixingBranches& branches) const;

 private:
  TokenGrid grid_;
  Linear value_, displacement_;
};

// The lookup itself: v [N, B, D], displacement [N, B, heads * axes] (axis fastest) in tokens -> [N, B, D]. Plain ATen, the oracle of
// fused::displaced. Its backward adds atomically on CUDA: sums there may differ in the last bits between runs.
Tensor displaced(const Tensor& v, const Tensor& displacement, const TokenGrid& grid);

}  // namespace ups::models
