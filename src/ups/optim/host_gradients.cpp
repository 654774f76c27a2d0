#include "ups/optim/host_gradients.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "ups/optim/host_kernels.h"
#include "ups/optim/parallel.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

constexpr int64_t kPieceOfGradient = 1 << 15;
constexpr int64_t kPiecesPerTask = 4;  // a tensor may be a handful of numbers
constexpr int64_t kNumbersWorthThreads = 1 << 19;

// fp64 gradients may be finite although their squares overflow.
HostGradients::Sum rescue(const double* g, int64_t n) {
  double top = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(g[i])) return {g[i] * g[i], false};
    top = std::max(top, std::abs(g[i]));
  }
  return {std::numeric_limits<double>::infinity(), top < std::numeric_limits<double>::infinity()};
}

}  // namespace

HostGradients& HostGradients::cleared() {
  thread_local HostGradients list;
  list.pieces_.clear();
  list.numbers_ = 0;
  return list;
}

void HostGradients::add(const at::Tensor& g) {
  const bool single = g.scalar_type() == at::kFloat;
  auto* data = static_cast<char*>(g.mutable_data_ptr());
  for (int64_t i = 0; i < g.numel(); i += kPieceOfGradient)
    pieces_.push_back({data + i * static_cast<int64_t>(g.element_size()), std::min(kPieceOfGradient, g.numel() - i), single, {}});
  numbers_ += g.numel();
}

template <class F>
void HostGradients::each(const F& f) {
  const auto count = static_cast<int64_t>(pieces_.size());
  const auto share = [&](int64_t task, int64_t) {
    for (int64_t i = task * kPiecesPerTask; i < std::min(count, (task + 1) * kPiecesPerTask); ++i) f(pieces_[static_cast<size_t>(i)]);
  };
  const int64_t tasks = (count + kPiecesPerTask - 1) / kPiecesPerTask;
  if (numbers_ < kNumbersWorthThreads) serial_tasks(tasks, share);
  else parallel_tasks(tasks, share);
}

HostGradients::Sum HostGradients::squares(double inv, bool write) {
  each([&](Piece& p) {
    if (p.single) p.sum = pass(static_cast<float*>(p.data), p.n, inv, write);
    else p.sum = pass(static_cast<double*>(p.data), p.n, inv, write);
  });
  Sum total;
  for (const Piece& p : pieces_) {
    total.squares += p.sum.squares;
    total.finite = total.finite && p.sum.finite;
  }
  if (!write) total.squares *= inv * inv;
  return total;
}

void HostGradients::multiply(double factor) {
  each([&](Piece& p) {
    if (p.single) host::normalise(static_cast<float*>(p.data), p.n, factor);
    else host::normalise(static_cast<double*>(p.data), p.n, factor);
  });
}

// Squares of floats cannot overflow a double: a finite sum proves finite entries.
HostGradients::Sum HostGradients::pass(float* g, int64_t n, double inv, bool write) {
  const double s = host::scale_sum_squares(g, n, static_cast<float>(inv), write);
  return {s, std::isfinite(s)};
}

HostGradients::Sum HostGradients::pass(double* g, int64_t n, double inv, bool write) {
  const double s = host::scale_sum_squares(g, n, inv, write);
  return std::isfinite(s) ? Sum{s, true} : rescue(g, n);
}

at::Device collect_gradients(const ParamList& params, HostGradients* on_host, GradientLists& others) {
  at::Device device = at::kCPU;
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    device = g.device();
    if (on_host && host_dense(g)) on_host->add(g);
    else others[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
  }
  return device;
}

}  // namespace ups::optim
