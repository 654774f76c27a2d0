// What the two executors of a Muon step share: raw memory on the CPU (muon_host.cpp), ATen on any device and dtype (muon_aten.cpp).
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <vector>

#include "ups/optim/orthogonalize.h"
#include "ups/optim/updates.h"

namespace ups::optim {

struct MuonOptions {
  double lr = 1e-3, weight_decay = 0, beta = 0.9;
  bool nesterov = true;
  NsSchedule schedule;
  std::string schedule_name = "polar_express";
  ScaleMode scale_mode = ScaleMode::match_rms;
  double scale = 0.2;
  EpsMode eps = EpsMode::scale_free;
  at::ScalarType compute = at::ScalarType::Undefined;  // Undefined: fp32 on the CPU (fp64 for fp64 weights), bf16 elsewhere
  enum class Backend { automatic, loop, batched, fused, svd } backend = Backend::automatic;
  OrthVariant variant = OrthVariant::automatic;
  bool normuon = false;          // rows of O get equal size from an average of their squares, O keeps its norm
  double normuon_beta2 = 0.95;
  bool cautious = false;         // decay only where O and W have the same sign
};

constexpr double kSmallestRow = 1e-8;  // NorMuon's guard against 0/0: rows of a zero gradient

// A matrix: rows [row, row + rows) of the parameter seen as [numel/columns, columns].
struct MuonBlock {
  int64_t row = 0, rows = 0;
  double factor = 0;  // c(A, B)
};

struct MuonSlot {
  at::Tensor w;     // real view of the parameter
  at::Tensor m;     // momentum, contiguous, shaped like w
  at::Tensor row_squares;  // NorMuon: average of mean(O^2) per row of the [numel/columns, columns] view; else undefined
  at::Tensor grad;  // of this step, contiguous; undefined: the slot is left alone
  double grad_factor = 1;  // multiplies grad as it is read; always 1 outside the host backend
  bool on_host = false;    // the host backend owns it
  int64_t columns = 0;
  std::vector<MuonBlock> blocks;
};

class MuonBackend {
 public:
  virtual ~MuonBackend() = default;
  // One update of the slots it was built for whose grad is defined. found_inf: undefined or a flag on a device that is not the host's.
  virtual void step(double lr, const at::Tensor& found_inf) = 0;
};

// Slots outlive the backend; `members` are the indices it owns.
std::unique_ptr<MuonBackend> make_muon_host(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members);
std::unique_ptr<MuonBackend> make_muon_aten(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members);
// Slots that are not plain CPU memory: the one-launch kernel for small fp32 matrices on CUDA, else make_muon_aten.
std::unique_ptr<MuonBackend> make_muon_device(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members);

}  // namespace ups::optim
