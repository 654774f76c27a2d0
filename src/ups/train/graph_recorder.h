// What records the kernels of a function and repeats them: a CUDA graph, or a test's stand-in.
#pragma once
#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace ups::train {

class Recording {
 public:
  virtual ~Recording() = default;
  // The recorded kernels once more, with the same numbers and addresses, in the order of the caller's stream.
  virtual void replay() = 0;
};

class GraphRecorder {
 public:
  virtual ~GraphRecorder() = default;
  // Runs work where capture() would record it: handles, plans and kernels exist then.
  virtual void rehearse(const std::function<void()>& work) = 0;
  // Records without running. Throws what work throws, and where the device cannot record something in it.
  virtual std::unique_ptr<Recording> capture(const std::function<void()>& work) = 0;
};

// Null where there are no graphs: on other devices than CUDA, and in builds without it.
std::shared_ptr<GraphRecorder> make_graph_recorder(c10::Device device);

}  // namespace ups::train
