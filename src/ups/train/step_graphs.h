// training.compile: forward and backward pass of a micro-batch as a graph of kernels that one call repeats.
//
// A micro-batch is copied into tensors of fixed address. The graph reads them, the weights and the loss scale, and writes gradients and
// loss to fixed addresses; unscaling, clipping, optimizer and average stay outside. One graph per signature: shapes and types of the
// inputs, variant of the stage, weight of the micro-batch, first or later one of its update. A signature is rehearsed `warmup` times
// through the same tensors before it is recorded. Weights found at another address discard every graph. What cannot be recorded runs
// without graphs from then on, and the reason is logged.
#pragma once
#include <ATen/core/Tensor.h>

#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "ups/optim/param.h"
#include "ups/train/graph_recorder.h"
#include "ups/train/stage.h"

namespace ups::train {

struct MicroBatch {
  TensorBatch batch;
  Prepared prepared;
  double weight = 1;  // of its loss in the update
  double logged = 1;  // of its loss in the log
};

struct ForwardPass {
  at::Tensor scaled;  // where the backward pass starts
  at::Tensor logged;  // 0-dim fp64, detached
  std::vector<std::pair<std::string, at::Tensor>> terms;  // of the loss; a graph does not hand them on
};

class StepGraphs {
 public:
  static constexpr size_t kMaxGraphs = 16;  // further signatures run without
  using Forward = std::function<ForwardPass(const MicroBatch&)>;

  // forward: a pure function of its argument, the weights and tensors of fixed address.
  StepGraphs(std::shared_ptr<GraphRecorder> recorder, optim::ParamList params, int64_t warmup, Forward forward);
  // Gradients go to (or are added to) those of the parameters; returns the logged loss. Undefined: nothing was done, run it without.
  at::Tensor run(const MicroBatch& m);

 private:
  struct Entry {
    MicroBatch inputs;
    at::Tensor loss;
    std::vector<size_t> used;  // parameters that get a gradient
    std::unique_ptr<Recording> recording;
    int64_t rehearsals = 0;
  };
  using Signature = std::vector<int64_t>;
  int64_t recorded() const;
  static Signature signature(const MicroBatch& m, bool adds);
  void follow_weights();
  bool ours_or_none() const;
  Entry* entry(const MicroBatch& m, bool adds);
  void pass(Entry& e, bool adds);
  void execute(Entry& e, bool adds);
  void refuse(const std::exception& why);

  std::shared_ptr<GraphRecorder> recorder_;
  std::vector<at::Tensor> weights_, gradients_;
  std::vector<const void*> addresses_;
  int64_t warmup_;
  Forward forward_;
  std::map<Signature, Entry> entries_;
  std::vector<size_t> attached_;  // whose gradients hold the update's sum so far
  bool refused_ = false;
};

}  // namespace ups::train
