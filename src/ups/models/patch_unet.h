// The reference's latent operator (`pdet_unet`) on fields: a trained linear patch embedding to latent_dim, the core, its inverse.
#pragma once
#include "ups/models/field_model.h"
#include "ups/models/layers.h"
#include "ups/models/reference/latent_operator.h"

namespace ups::models {

struct PatchUnetConfig {
  int64_t in_channels = 1, out_channels = 1;
  std::vector<int64_t> grid;   // 1 or 2 axes; padded by repeating the edge to whole patches
  int64_t patch = 4;
  reference::LatentOperatorConfig core;
  uint64_t seed = 17;
};

// f(x) = unembed(residual of the core on embed(x)); the inverse embedding starts at zero, so that an operator starts as persistence.
class PatchUnet : public FieldModel {
 public:
  explicit PatchUnet(const PatchUnetConfig& config);
  Tensor forward(const Tensor& x, const Condition& condition) override;

 private:
  PatchUnetConfig config_;
  std::vector<int64_t> tokens_;
  Linear embed_, unembed_;
  reference::LatentOperator core_;
};

}  // namespace ups::models
