// CUDA graphs on a stream of their own. Only headers that need nothing but the CUDA runtime's.
#include <ATen/cuda/CUDAGraph.h>
#include <c10/core/Event.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include "ups/train/graph_recorder.h"

namespace ups::train {
namespace {

using Pool = decltype(at::cuda::graph_pool_handle());

void order(c10::cuda::CUDAStream first, c10::cuda::CUDAStream second) {
  c10::Event event(c10::kCUDA);
  event.record(first.unwrap());
  event.block(second.unwrap());
}

// work goes to `side`, after what the caller's stream holds; later work of the caller's stream waits for it.
template <class Work>
void run_beside(c10::cuda::CUDAStream side, Work&& work) {
  const c10::cuda::CUDAStream caller = c10::cuda::getCurrentCUDAStream(side.device_index());
  order(caller, side);
  try {
    const c10::cuda::CUDAStreamGuard on(side);
    work();
  } catch (...) {
    order(side, caller);  // what was launched before may use memory that is freed now
    throw;
  }
  order(side, caller);
}

class CudaRecording final : public Recording {
 public:
  CudaRecording(Pool pool, const std::function<void()>& work) {
    // Loader threads may use CUDA meanwhile: only this thread's forbidden calls fail.
    graph_.capture_begin(pool, cudaStreamCaptureModeThreadLocal);
    try {
      work();
    } catch (...) {
      abandon();
      throw;
    }
    graph_.capture_end();
  }
  void replay() override { graph_.replay(); }

 private:
  void abandon() noexcept {
    try {
      graph_.capture_end();
    } catch (const std::exception&) {  // a broken capture ends with an error; why is in flight already
      (void)cudaGetLastError();
    }
  }
  at::cuda::CUDAGraph graph_;
};

class CudaRecorder final : public GraphRecorder {
 public:
  explicit CudaRecorder(c10::Device device)
      : side_(c10::cuda::getStreamFromPool(/*isHighPriority=*/false, device.index())), pool_(at::cuda::graph_pool_handle()) {}
  void rehearse(const std::function<void()>& work) override { run_beside(side_, work); }
  std::unique_ptr<Recording> capture(const std::function<void()>& work) override {
    // What the rehearsals left in the allocator's cache serves no graph.
    c10::cuda::CUDACachingAllocator::emptyCache();
    std::unique_ptr<Recording> recording;
    run_beside(side_, [&] { recording = std::make_unique<CudaRecording>(pool_, work); });
    return recording;
  }

 private:
  c10::cuda::CUDAStream side_;
  // One for all graphs: their results are copied out before they end, so none of them owns memory between replays.
  Pool pool_;
};

}  // namespace

std::shared_ptr<GraphRecorder> make_graph_recorder(c10::Device device) {
  return device.is_cuda() ? std::make_shared<CudaRecorder>(device) : nullptr;
}

}  // namespace ups::train
