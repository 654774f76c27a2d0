// Micro-batches as a pure function of (seed, stage, epoch, index): threads only prefetch, they never decide.
#pragma once
#include <memory>
#include <string>

#include "ups/data/dataset.h"
#include "ups/data/normalizer.h"

namespace ups::data {

struct LoaderSpec {
  Split split = Split::train;
  int64_t batch_size = 16;
  int64_t window = 2;        // frames per sample (1 for steady sets)
  int64_t stride = 1;        // frames between window frames (training.time_stride)
  uint64_t seed = 17;
  std::string stage;         // part of the key
  int64_t workers = 0;       // prefetching reader threads; 0 = read in the calling thread
  bool shuffle = true;
  bool drop_last = false;
};

class Loader {
 public:
  Loader(Dataset& data, const Normalizer& normalizer, LoaderSpec spec);
  ~Loader();
  int64_t samples() const;            // windows per epoch = members * (frames - (window-1)*stride), or members for steady sets
  int64_t batches() const;            // per epoch
  // The batch with this index of this epoch. Calls in order (epoch, index), (epoch, index + 1), .. are prefetched when workers > 0.
  Batch get(int64_t epoch, int64_t index);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ups::data
