// Muon on CPU memory, fp32 or fp64 weights (fp32 ones also with bf16 products): one matrix, or a stack of small equal ones, is a task
// on one thread. Momentum and norm in one pass over G and M, decay and update in one over W. Nothing is allocated after the first step.
#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <type_traits>
#include <utility>

#include "ups/optim/muon_backend.h"
#include "ups/optim/orth_host.h"
#include "ups/optim/orth_lanes.h"
#include "ups/optim/parallel.h"

namespace ups::optim {
namespace {

struct Matrix {
  size_t slot;
  size_t block;
};

// Matrices that are orthogonalized together, of one shape: one, or up to a vector's lanes.
struct Task {
  std::vector<Matrix> matrices;
  double cost;
};

class MuonHost final : public MuonBackend {
 public:
  MuonHost(const MuonOptions& options, std::vector<MuonSlot>& slots, std::vector<size_t> members)
      : options_(options), slots_(slots), members_(std::move(members)) {
    if (options.compute == at::kBFloat16) math_ = host::OrthMath::bf16;
    std::map<std::array<int64_t, 2>, std::vector<Matrix>> stacks;  // those that can share vectors
    for (const size_t i : members_) {
      const MuonSlot& s = slots_[i];
      for (size_t b = 0; b < s.blocks.size(); ++b) {
        const int64_t rows = s.blocks[b].rows;
        if (lanes(s, rows) > 1) stacks[{rows, s.columns}].push_back({i, b});
        else add_task({{i, b}});
      }
    }
    for (const auto& [shape, matrices] : stacks) {
      const auto count = static_cast<size_t>(lanes(slots_[matrices[0].slot], shape[0]));
      for (size_t k = 0; k < matrices.size(); k += count) {
        const auto end = std::min(matrices.size(), k + count);
        if (2 * (end - k) >= count) add_task({matrices.begin() + static_cast<int64_t>(k), matrices.begin() + static_cast<int64_t>(end)});
        else  // mostly empty vectors
          for (size_t j = k; j < end; ++j) add_task({matrices[j]});
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
  int64_t lanes(const MuonSlot& s, int64_t rows) const {
    const bool single = s.w.scalar_type() == at::kFloat && math_ == host::OrthMath::own;
    return single ? host::orth_lanes(rows, s.columns, options_.variant, options_.schedule.steps.size()) : 0;
  }

  void add_task(std::vector<Matrix> matrices) {
    const MuonSlot& s = slots_[matrices[0].slot];
    const int64_t rows = s.blocks[matrices[0].block].rows, m = std::min(rows, s.columns), n = std::max(rows, s.columns);
    const bool stack = matrices.size() > 1;
    const int64_t numbers = stack ? lanes(s, rows) * host::orth_lanes_stride(rows, s.columns) + host::orth_lanes_workspace(rows, s.columns, options_.variant)
                                  : rows * s.columns + host::orth_workspace(rows, s.columns, options_.variant);
    workspace_doubles_ = std::max(workspace_doubles_, static_cast<size_t>(numbers) * static_cast<size_t>(s.w.element_size()) / sizeof(double) + 1);
    const double cost = static_cast<double>(m) * static_cast<double>(m) * static_cast<double>(n);
    tasks_.push_back({std::move(matrices), cost * static_cast<double>(stack ? lanes(s, rows) : 1)});
  }

  void run(const Task& task, double* workspace, double lr) {
    const MuonSlot& first = slots_[task.matrices[0].slot];
    if (task.matrices.size() > 1) run_stack(task, reinterpret_cast<float*>(workspace), lr);
    else if (!first.grad.defined()) return;
    else if (first.w.scalar_type() == at::kFloat) run_typed(task.matrices[0], reinterpret_cast<float*>(workspace), lr);
    else run_typed(task.matrices[0], workspace, lr);
  }

  void run_stack(const Task& task, float* u, double lr) {
    std::array<double, kMaxLanes> sums{};
    std::array<Matrix, kMaxLanes> active{};
    const MuonSlot& first = slots_[task.matrices[0].slot];
    const int64_t rows = first.blocks[task.matrices[0].block].rows, stride = host::orth_lanes_stride(rows, first.columns);
    size_t count = 0;
    for (const Matrix& matrix : task.matrices) {
      if (!slots_[matrix.slot].grad.defined()) continue;
      sums[count] = momentum(matrix, u + static_cast<int64_t>(count) * stride);
      active[count++] = matrix;
    }
    if (count == 0) return;
    host::orthogonalize_lanes(u, static_cast<int64_t>(count), rows, first.columns, sums.data(), options_.schedule, options_.eps,
                              options_.variant, u + lanes(first, rows) * stride);
    for (size_t k = 0; k < count; ++k) apply(active[k], u + static_cast<int64_t>(k) * stride, lr);
  }

  template <class T>
  void run_typed(const Matrix& matrix, T* u, double lr) {
    const MuonSlot& s = slots_[matrix.slot];
    const int64_t rows = s.blocks[matrix.block].rows;
    const double sum = momentum(matrix, u);
    T* const rest = u + rows * s.columns;
    const T* o;
    if constexpr (std::is_same_v<T, float>)
      o = host::orthogonalize(u, rows, s.columns, sum, options_.schedule, options_.eps, options_.variant, rest, math_);
    else
      o = host::orthogonalize(u, rows, s.columns, sum, options_.schedule, options_.eps, options_.variant, rest);
    apply(matrix, o, lr);
  }

  // Momentum and what is to be orthogonalized, u; returns its sum of squares.
  template <class T>
  double momentum(const Matrix& matrix, T* u) {
    const MuonSlot& s = slots_[matrix.slot];
    const MuonBlock& block = s.blocks[matrix.block];
    const int64_t offset = block.row * s.columns;
    return host::muon_momentum(s.grad.const_data_ptr<T>() + offset, s.m.mutable_data_ptr<T>() + offset, u, block.rows * s.columns,
                               options_.beta, options_.nesterov, s.grad_factor);
  }

  template <class T>
  void apply(const Matrix& matrix, const T* o, double lr) {
    const MuonSlot& s = slots_[matrix.slot];
    const MuonBlock& block = s.blocks[matrix.block];
    T* w = rows_[matrix.slot].template mutable_data_ptr<T>() + block.row * s.columns;
    const double decay = 1 - lr * options_.weight_decay, step = lr * block.factor;
    if (options_.normuon) apply_rows(s, block, w, o, decay, step);
    else host::muon_apply(w, o, block.rows * s.columns, decay, step, options_.cautious);
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

  static constexpr size_t kMaxLanes = 16;
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
