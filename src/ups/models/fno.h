// Fourier neural operator on fields (arXiv 2010.08895) in PDEBench's structure: the opponent that our operator is measured against.
//
//   t = fc0(x [+ cell coordinates]), padded with zeros behind each axis      [N, B, width]
//   t = gelu(spectral(t) + pointwise(t)), 4 times, without the GELU after the last
//   y = fc2(gelu(fc1(t))), cropped
// Parameters with width w, modes m, inputs i (coordinates included), outputs o, head h, L layers on a axes:
//   (i + 1) w + L (2^a w^2 m^a + w^2 + w) + (w + 1) h + (h + 1) o
#pragma once
#include <memory>

#include "ups/models/field_model.h"
#include "ups/models/local_mixing.h"

namespace ups::models {

struct FnoConfig {
  int64_t in_channels = 1, out_channels = 1;
  std::vector<int64_t> grid;     // cells per axis, 1 or 2 axes
  std::vector<int64_t> padding;  // zero cells behind each axis; 0 where the axis is periodic, PDEBench's 2 elsewhere
  int64_t width = 24, modes = 48, layers = 4, head = 128;  // modes per axis, at most half the padded cells
  bool grid_channel = false;     // cell centres in (0, 1), one input channel per axis
  uint64_t seed = 17;
};

// Ignores the condition: an FNO of this kind knows its equation from the training data alone.
class Fno : public FieldModel {
 public:
  explicit Fno(FnoConfig config);
  ~Fno() override;
  Tensor forward(const Tensor& x, const Condition& condition) override;

 private:
  struct Layer;
  Tensor pad(const Tensor& tokens) const;   // [N, B, D] -> [padded N, B, D]
  Tensor crop(const Tensor& tokens) const;  // the way back

  FnoConfig config_;
  std::vector<int64_t> padded_;  // cells per axis of the Fourier layers
  Tensor coordinates_;           // [N, 1, axes], with grid_channel
  Linear fc0_, fc1_, fc2_;
  std::vector<std::unique_ptr<Layer>> layers_;
};

}  // namespace ups::models
