// Muon on CPU memory: one matrix = one task on one thread. Momentum and norm in one pass over G and M, decay and update in one over W.
#include <ATen/ATen.h>

#include <algorithm>
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
    int64_t numbers = 0;
    for (const size_t i : members_) {
      const MuonSlot& s = slots_[i];
      for (size_t b = 0; b < s.blocks.size(); ++b) {
        const int64_t rows = s.blocks[b].rows, m = std::min(rows, s.columns), n = std::max(rows, s.columns);
        tasks_.push_back({i, b, static_cast<double>(m) * static_cast<double>(m) * static_cast<double>(n)});
        numbers = std::max(numbers, rows * s.columns + host::orth_workspace(rows, s.columns, options_.variant));
      }
    }
    // Big ones first: the threads finish together.
    std::stable_sort(tasks_.begin(), tasks_.end(), [](const Task& a, const Task& b) { return a.cost > b.cost; });
    for (const Task& t : tasks_) total_cost_ += t.cost;
    workspace_numbers_ = numbers;
  }

  void step(double lr, const at::Tensor&) override {
    // Weights in another memory order are updated through a copy in row order.
    rows_.assign(slots_.size(), {});
    for (const size_t i : members_)
      if (slots_[i].grad.defined()) rows_[i] = slots_[i].w.contiguous();
    constexpr double kWorthThreads = 2e6;
    const auto count = static_cast<int64_t>(tasks_.size());
    const bool threads = total_cost_ > kWorthThreads && parallel_workers() > 1;
    if (workspaces_.size() < static_cast<size_t>(threads ? parallel_workers() : 1))
      workspaces_.resize(static_cast<size_t>(threads ? parallel_workers() : 1));
    const auto one = [&](int64_t i, int64_t worker) { run(tasks_[static_cast<size_t>(i)], static_cast<size_t>(worker), lr); };
    if (threads) parallel_tasks(count, one);
    else serial_tasks(count, one);
    for (const size_t i : members_) {
      if (rows_[i].defined() && !rows_[i].is_same(slots_[i].w) && rows_[i].const_data_ptr() != slots_[i].w.const_data_ptr())
        slots_[i].w.copy_(rows_[i]);
      rows_[i].reset();
    }
  }

 private:
  void run(const Task& task, size_t worker, double lr) {
    if (!slots_[task.slot].grad.defined()) return;
    if (slots_[task.slot].w.scalar_type() == at::kFloat) run_typed<float>(task, worker, lr);
    else run_typed<double>(task, worker, lr);
  }

  template <class T>
  void run_typed(const Task& task, size_t worker, double lr) {
    const MuonSlot& s = slots_[task.slot];
    const MuonBlock& block = s.blocks[task.block];
    const int64_t offset = block.row * s.columns, n = block.rows * s.columns;
    T* u = workspace<T>(worker);
    const double sum = host::muon_momentum(s.grad.const_data_ptr<T>() + offset, s.m.mutable_data_ptr<T>() + offset, u, n, options_.beta,
                                           options_.nesterov);
    const T* o = host::orthogonalize(u, block.rows, s.columns, sum, options_.schedule, options_.eps, options_.variant, u + n);
    host::muon_apply(rows_[task.slot].mutable_data_ptr<T>() + offset, o, n, 1 - lr * options_.weight_decay, lr * block.factor);
  }

  template <class T>
  T* workspace(size_t worker) {
    auto& w = workspaces_[worker];
    if (w.size() < static_cast<size_t>(workspace_numbers_) * sizeof(T) / sizeof(double) + 1)
      w.resize(static_cast<size_t>(workspace_numbers_) * sizeof(T) / sizeof(double) + 1);
    return reinterpret_cast<T*>(w.data());
  }

  MuonOptions options_;
  std::vector<MuonSlot>& slots_;
  std::vector<size_t> members_;
  std::vector<Task> tasks_;
  double total_cost_ = 0;
  int64_t workspace_numbers_ = 0;
  std::vector<std::vector<double>> workspaces_;  // one per worker
  std::vector<at::Tensor> rows_;                 // weights in row order, of this step
};

}  // namespace

std::unique_ptr<MuonBackend> make_muon_host(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members) {
  return std::make_unique<MuonHost>(options, slots, std::move(members));
}

}  // namespace ups::optim
