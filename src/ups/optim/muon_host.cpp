// Muon on CPU memory, fp32 or fp64 weights (fp32 ones also with bf16 products): one matrix = one task on one thread. Momentum and norm in
// one pass over G and M, decay and update in one over W. Nothing is allocated after the first step.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <utility>

#include "ups/optim/muon_backend.h"
#include "ups/optim/orth_host.h"
#include "ups/optim/parallel.h"

namespace ups::optim {
namespace {

struct Task {
  size_t slot;
  size_t block;
  double cost;
};

class MuonHost final : public MuonBackend {
 public:
  MuonHost(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members)
      : options_(options), slots_(slots), members_(std::move(members)) {
    if (options.compute == at::kBFloat16) math_ = host::OrthMath::bf16;
    for (const size_t i : members_) {
      const MuonSlot& s = slots_[i];
      for (size_t b = 0; b < s.blocks.size(); ++b) {
        const int64_t rows = s.blocks[b].rows, m = std::min(rows, s.columns), n = std::max(rows, s.columns);
        tasks_.push_back({i, b, static_cast<double>(m) * static_cast<double>(m) * static_cast<double>(n)});
        const int64_t numbers = rows * s.columns + host::orth_workspace(rows, s.columns, options_.variant);
        const auto bytes = static_cast<size_t>(numbers) * s.w.element_size();
        workspace_doubles_ = std::max(workspace_doubles_, bytes / sizeof(double) + 1);
      }
    }
    // Big ones first: the threads finish together.
    std::stable_sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) { return a.cost > b.cost; });
    for (const Task& t : tasks_) total_cost_ += t.cost;
  }

  void step(double lr, const at::Tensor&) override {
    // Weights in another memory order are updated through a copy in row order.
    rows_.assign(slots_.size(), {});
    for (const size_t i : members_)
      if (slots_[i].grad.defined()) rows_[i] = slots_[i].w.contiguous();
    constexpr double kWorthThreads = 2e6;
    const auto count = static_cast<int64_t>(tasks_.size());
    const bool threads = total_cost_ > kWorthThreads && parallel_workers() > 1;
    const auto workers = static_cast<size_t>(threads ? parallel_workers() : 1);
    if (workspaces_.size() < workers) workspaces_.resize(workers, std::vector<double>(workspace_doubles_));
    const auto one = [&](int64_t i, int64_t worker) {
      run(tasks_[static_cast<size_t>(i)], workspaces_[static_cast<size_t>(worker)].data(), lr);
    };
    if (threads) parallel_tasks(count, one);
    else serial_tasks(count, one);
    for (const size_t i : members_) {
      if (rows_[i].defined() && !rows_[i].is_same(slots_[i].w) && rows_[i].const_data_ptr() != slots_[i].w.const_data_ptr())
        slots_[i].w.copy_(rows_[i]);
      rows_[i].reset();
    }
  }

 private:
  void run(const Task& task, double* workspace, double lr) {
    if (!slots_[task.slot].grad.defined()) return;
    if (slots_[task.slot].w.scalar_type() == at::kFloat) run_typed(task, reinterpret_cast<float*>(workspace), lr);
    else run_typed(task, workspace, lr);
  }

  template <class T>
  void run_typed(const Task& task, T* u, double lr) {
    const MuonSlot& s = slots_[task.slot];
    const MuonBlock& block = s.blocks[task.block];
    const int64_t offset = block.row * s.columns, n = block.rows * s.columns;
    const double sum = host::muon_momentum(s.grad.const_data_ptr<T>() + offset, s.m.mutable_data_ptr<T>() + offset, u, n, options_.beta,
                                           options_.nesterov, s.grad_factor);
    const T* o;
    if constexpr (std::is_same_v<T, float>)
      o = host::orthogonalize(u, block.rows, s.columns, sum, options_.schedule, options_.eps, options_.variant, u + n, math_);
    else
      o = host::orthogonalize(u, block.rows, s.columns, sum, options_.schedule, options_.eps, options_.variant, u + n);
    T* w = rows_[task.slot].mutable_data_ptr<T>() + offset;
    const double decay = 1 - lr * options_.weight_decay, step = lr * block.factor;
    if (options_.normuon) apply_rows(s, block, w, o, decay, step);
    else host::muon_apply(w, o, n, decay, step, options_.cautious);
  }

  // NorMuon: row r of O counts 1/sqrt(v_r), v_r the average of its mean square; all rows together keep the norm of O.
  template <class T>
  void apply_rows(const MuonSlot& s, const MuonBlock& block, T* w, const T* o, double decay, double step) {
    T* v = s.row_squares.mutable_data_ptr<T>() + block.row;
    const auto square = [&](int64_t r) {
      double sum = 0;
      for (int64_t k = 0; k < s.columns; ++k) sum += static_cast<double>(o[r * s.columns + k]) * static_cast<double>(o[r * s.columns + k]);
      return sum;
    };
    const auto weight = [&](int64_t r) { return 1 / std::max(std::sqrt(static_cast<double>(v[r])), kSmallestRow); };
    double before = 0, after = 0;
    for (int64_t r = 0; r < block.rows; ++r) {
      const double sum = square(r), old = static_cast<double>(v[r]);
      v[r] = static_cast<T>(old + (1 - options_.normuon_beta2) * (sum / static_cast<double>(s.columns) - old));
      before += sum;
      after += sum * weight(r) * weight(r);
    }
    const double same = after > 0 ? std::sqrt(before / after) : 0;
    for (int64_t r = 0; r < block.rows; ++r)
      host::muon_apply(w + r * s.columns, o + r * s.columns, s.columns, decay, step * same * weight(r), options_.cautious);
  }

  MuonOptions options_;
  host::OrthMath math_ = host::OrthMath::own;
  std::vector<MuonSlot>& slots_;
  std::vector<size_t> members_;
  std::vector<Task> tasks_;
  double total_cost_ = 0;
  size_t workspace_doubles_ = 0;
  std::vector<std::vector<double>> workspaces_;  // one per worker
  std::vector<at::Tensor> rows_;                 // weights in row order, of this step
};

}  // namespace

std::unique_ptr<MuonBackend> make_muon_host(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members) {
  return std::make_unique<MuonHost>(options, slots, std::move(members));
}

}  // namespace ups::optim
