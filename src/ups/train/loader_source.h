// Batches of a data::Loader as tensors on the training device.
#pragma once
#include "ups/data/loader.h"
#include "ups/train/stage.h"

namespace ups::train {

TensorBatch to_tensors(const data::Batch& batch, const data::SetInfo& info, at::Device device);

class LoaderSource : public BatchSource {
 public:
  LoaderSource(data::Dataset& data, const data::Normalizer& normalizer, data::LoaderSpec spec, at::Device device)
      : info_(data.info()), loader_(data, normalizer, std::move(spec)), device_(device) {}
  int64_t batches() const override { return loader_.batches(); }
  TensorBatch get(int64_t epoch, int64_t index) override { return to_tensors(loader_.get(epoch, index), info_, device_); }

 private:
  data::SetInfo info_;
  data::Loader loader_;
  at::Device device_;
};

}  // namespace ups::train
