// A few updates of a stage of the tiny configuration on a device, watched.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "fake_device.h"
#include "ups/train/graph_recorder.h"

namespace ups::test {

struct Trained {
  DeviceCounts before, after;  // around the updates 3 to 6
  std::string trace;
  std::vector<at::Tensor> weights;
};

// The fake device, or the one of UPS_TEST_DEVICE.
at::Device device_under_test();

struct TrainOn {
  at::Device device;
  std::string key;
  std::vector<std::string> sets;
  int64_t settle_every = 1000;
  std::shared_ptr<train::GraphRecorder> recorder = {};  // training.compile, three rehearsals
  int64_t updates = 6;
};
// In the run directory of a tiny pipeline that trained every stage before.
Trained train_on(const TrainOn& what);

}  // namespace ups::test
