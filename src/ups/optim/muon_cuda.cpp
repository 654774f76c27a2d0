// Muon on a CUDA device: every small fp32 matrix in one launch per 48 of them, the others through ATen.
#include <ATen/ATen.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <utility>

#include "ups/optim/muon_backend.h"
#include "ups/optim/muon_small_cuda.h"

namespace ups::optim {
namespace {

class MuonCuda final : public MuonBackend {
 public:
  MuonCuda(const MuonOptions& options, std::vector<MuonSlot>& slots, const std::vector<size_t>& members) : slots_(slots) {
    std::vector<size_t> large;
    const bool fused = options.backend == MuonOptions::Backend::automatic || options.backend == MuonOptions::Backend::fused;
    const bool plain = !options.normuon && !options.cautious;  // what the kernel knows
    const bool precise = fused && plain && options.schedule.steps.size() <= static_cast<size_t>(small::kMaxSteps) &&
                          (options.compute == at::ScalarType::Undefined || options.compute == at::kFloat);
    for (const size_t i : members) (precise && fits(slots[i]) ? small_ : large).push_back(i);
    if (!small_.empty()) settings_ = small::settings_of(options);
    if (!large.empty()) large_ = make_muon_aten(options, slots, std::move(large));
  }

  void step(double lr, const at::Tensor& found_inf) override {
    if (large_) large_->step(lr, found_inf);
    small::Launch launch;
    launch.settings = settings_;
    launch.settings.lr = static_cast<float>(lr);
    const at::Tensor flag = found_inf.defined() ? found_inf.to(at::kFloat) : at::Tensor();
    if (flag.defined()) launch.settings.found_inf = flag.const_data_ptr<float>();
    size_t shared = 0;
    const auto send = [&] {
      if (launch.count == 0) return;
      C10_CUDA_CHECK(static_cast<cudaError_t>(small::run(launch, shared, c10::cuda::getCurrentCUDAStream().stream())));
      launch.count = 0;
      shared = 0;
    };
    for (const size_t i : small_) {
      const MuonSlot& s = slots_[i];
      if (!s.grad.defined()) continue;
      const c10::cuda::CUDAGuard guard(s.w.device());
      for (const MuonBlock& b : s.blocks) {
        const int64_t offset = b.row * s.columns;
        launch.matrices[launch.count++] = {s.grad.const_data_ptr<float>() + offset, s.m.mutable_data_ptr<float>() + offset,
                                           s.w.mutable_data_ptr<float>() + offset, static_cast<int>(b.rows), static_cast<int>(s.columns),
                                           static_cast<float>(b.factor)};
        shared = std::max(shared, static_cast<size_t>(small::scratch_floats(b.rows, s.columns)) * sizeof(float));
        if (launch.count == small::kMatrices) send();
      }
    }
    send();
  }

 private:
  static bool fits(const MuonSlot& s) {
    if (s.w.scalar_type() != at::kFloat || !s.w.is_contiguous() || !s.w.is_cuda() || s.w.numel() == 0) return false;
    const size_t limit = small::shared_memory_limit(s.w.device().index());
    return std::all_of(s.blocks.begin(), s.blocks.end(), [&](const MuonBlock& b) {
      return small::small_side(b.rows, s.columns) <= small::kMaxRows &&
             static_cast<size_t>(small::scratch_floats(b.rows, s.columns)) * sizeof(float) <= limit;
    });
  }

  std::vector<MuonSlot>& slots_;
  small::Settings settings_;
  std::vector<size_t> small_;
  std::unique_ptr<MuonBackend> large_;
};

}  // namespace

std::unique_ptr<MuonBackend> make_muon_device(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members) {
  return std::make_unique<MuonCuda>(options, slots, members);
}

}  // namespace ups::optim
