// U-Net on fields (convolution, activation, skips at equal resolution): the second opponent of our operator.
//
//   per level: two 3-tap convolutions (3 x 3 in 2-D) with GELU; down by max pooling of 2, up by a transposed convolution of 2
//   y = 1 x 1 convolution of the finest level
// Without normalisation layers: BatchNorm's running statistics fit neither batches of 8 nor averaged weights, and GroupNorm removes the
// amplitude of a sample, on which the speed of a wave depends (u u_x).
#pragma once
#include <memory>

#include "ups/models/field_model.h"

namespace ups::models {

struct UnetConfig {
  int64_t in_channels = 1, out_channels = 1;
  std::vector<int64_t> grid;   // cells per axis, 1 or 2 axes; extended to whole coarse cells and cropped
  std::vector<bool> periodic;  // per axis: circular padding, else zeros
  int64_t features = 16, levels = 4, max_features = 64;  // channels double per level up to max_features
  uint64_t seed = 17;
};

// Ignores the condition.
class Unet : public FieldModel {
 public:
  explicit Unet(UnetConfig config);
  ~Unet() override;
  Tensor forward(const Tensor& x, const Condition& condition) override;

 private:
  struct Pair;   // two convolutions with GELU
  struct Up;     // transposed convolution
  Tensor extend(const Tensor& x) const;

  UnetConfig config_;
  std::vector<int64_t> extra_;  // cells added behind each axis
  std::vector<std::unique_ptr<Pair>> down_, up_;
  std::vector<std::unique_ptr<Up>> rise_;
  Tensor head_weight_, head_bias_;
};

}  // namespace ups::models
