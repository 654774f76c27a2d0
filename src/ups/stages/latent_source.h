// latent.space ae: batches of fields as batches of whitened latents of the frozen autoencoder.
#pragma once
#include <memory>
#include <unordered_map>

#include "ups/stages/field_space.h"

namespace ups::stages {

// Latents of whole trajectories are kept while they fit; a set beyond kKeptBytes is encoded batch by batch.
class LatentSource : public train::BatchSource {
 public:
  static constexpr int64_t kKeptBytes = int64_t{2} << 30;
  LatentSource(std::unique_ptr<train::BatchSource> fields, FieldSpace& space);
  int64_t batches() const override { return fields_->batches(); }
  train::TensorBatch get(int64_t epoch, int64_t index) override;

 private:
  const at::Tensor& latents(int64_t trajectory);  // [T, latent_dim, ..], every frame of the file
  std::unique_ptr<train::BatchSource> fields_;
  FieldSpace& space_;
  bool keep_;
  std::unordered_map<int64_t, at::Tensor> kept_;
};

}  // namespace ups::stages
