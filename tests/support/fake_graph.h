// Graph recorders of tests.
#pragma once
#include "ups/train/graph_recorder.h"

namespace ups::test {

// Of the fake device (fake_device.h): its operators instead of kernels. Of a CUDA device: train::make_graph_recorder.
std::shared_ptr<train::GraphRecorder> recorder_for(c10::Device device);

// Passes everything on and counts.
class CountedRecorder : public train::GraphRecorder {
 public:
  explicit CountedRecorder(std::shared_ptr<train::GraphRecorder> inner) : inner_(std::move(inner)) {}
  void rehearse(const std::function<void()>& work) override;
  std::unique_ptr<train::Recording> capture(const std::function<void()>& work) override;
  int rehearsals = 0, captures = 0, replays = 0;

 private:
  std::shared_ptr<train::GraphRecorder> inner_;
};

}  // namespace ups::test
