// latent.space: reference. UPS's encoder is a random linear map of the field's channels, never trained, averaged over blocks of the
// raster order: latents are an affine copy of the pooled field. There is no decoder, hence no physical figure for what is trained on it.
#pragma once
#include <memory>

#include "ups/train/stage.h"

namespace ups::stages {

class ReferenceEncoder {
 public:
  ReferenceEncoder(int64_t channels, int64_t dim, int64_t tokens, uint64_t seed, at::Device device);
  at::Tensor operator()(const at::Tensor& field) const;  // [B, C, X..] -> [B, tokens, dim]

 private:
  at::Tensor weight_, bias_;  // [dim, C], [dim]: one map per seed, the same in every stage
  int64_t tokens_;
};

// Batches of fields as batches of latent pairs [B, 2, tokens, dim].
class EncodedSource : public train::BatchSource {
 public:
  EncodedSource(std::unique_ptr<train::BatchSource> fields, ReferenceEncoder encoder) : fields_(std::move(fields)), encoder_(std::move(encoder)) {}
  int64_t batches() const override { return fields_->batches(); }
  train::TensorBatch get(int64_t epoch, int64_t index) override;

 private:
  std::unique_ptr<train::BatchSource> fields_;
  ReferenceEncoder encoder_;
};

}  // namespace ups::stages
