#include "ups/stages/latent_source.h"

#include <ATen/ATen.h>

namespace ups::stages {

LatentSource::LatentSource(std::unique_ptr<train::BatchSource> fields, FieldSpace& space) : fields_(std::move(fields)), space_(space) {
  int64_t numbers = space.channels() * space.info().frames * static_cast<int64_t>(space.dataset->members(data::Split::train).size());
  for (int64_t n : space.grid()) numbers *= n;
  keep_ = numbers * static_cast<int64_t>(sizeof(float)) <= kKeptBytes;
}

const at::Tensor& LatentSource::latents(int64_t trajectory) {
  at::Tensor& slot = kept_[trajectory];
  if (!slot.defined()) slot = space_.encode(normalised_trajectory(space_, trajectory));
  return slot;
}

train::TensorBatch LatentSource::get(int64_t epoch, int64_t index) {
  train::TensorBatch batch = fields_->get(epoch, index);
  const int64_t frames = batch.fields.size(1);
  if (!keep_) {
    batch.fields = space_.encode(batch.fields.flatten(0, 1)).unflatten(0, {batch.size(), frames});
    return batch;
  }
  std::vector<at::Tensor> samples;
  for (size_t i = 0; i < batch.trajectory.size(); ++i) {
    const int64_t first = batch.first_frame[i];
    samples.push_back(latents(batch.trajectory[i]).slice(0, first, first + (frames - 1) * space_.stride + 1, space_.stride));
  }
  batch.fields = at::stack(samples);
  return batch;
}

}  // namespace ups::stages
