#include "ups/stages/reference_space.h"

#include <ATen/ATen.h>

#include <cmath>

namespace ups::stages {

ReferenceEncoder::ReferenceEncoder(int64_t channels, int64_t dim, int64_t tokens, uint64_t seed, at::Device device) : tokens_(tokens) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(channels));
  weight_ = models::uniform_init({dim, channels}, bound, seed, "reference_encoder.weight").to(device);
  bias_ = models::uniform_init({dim}, bound, seed, "reference_encoder.bias").to(device);
}

at::Tensor ReferenceEncoder::operator()(const at::Tensor& field) const {
  const at::Tensor tokens = at::linear(field.flatten(2).transpose(1, 2), weight_, bias_);  // [B, cells, dim]
  return at::adaptive_avg_pool1d(tokens.transpose(1, 2), {tokens_}).transpose(1, 2).contiguous();
}

train::TensorBatch EncodedSource::get(int64_t epoch, int64_t index) {
  train::TensorBatch batch = fields_->get(epoch, index);
  batch.fields = at::stack({encoder_(batch.fields.select(1, 0)), encoder_(batch.fields.select(1, 1))}, 1);
  return batch;
}

}  // namespace ups::stages
