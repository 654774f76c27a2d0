#include "ups/optim/grad_ops.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include "ups/core/error.h"
#include "ups/optim/host_kernels.h"
#include "ups/optim/parallel.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

struct Sum {
  double squares = 0;
  bool finite = true;
};

// fp64 gradients may be finite although their squares overflow.
Sum rescue(const double* g, int64_t n) {
  double top = 0;
  for (int64_t i = 0; i < n; ++i) {
    if (!std::isfinite(g[i])) return {g[i] * g[i], false};
    top = std::max(top, std::abs(g[i]));
  }
  return {std::numeric_limits<double>::infinity(), top < std::numeric_limits<double>::infinity()};
}

// Gradients in host memory in pieces of fixed size, whose sums are added in their order: the bits do not depend on the threads.
class HostGradients {
 public:
  void clear() {
    pieces_.clear();
    numbers_ = 0;
  }

  void add(const at::Tensor& g) {
    const bool single = g.scalar_type() == at::kFloat;
    auto* data = static_cast<char*>(g.mutable_data_ptr());
    for (int64_t i = 0; i < g.numel(); i += kPiece)
      pieces_.push_back({data + i * static_cast<int64_t>(g.element_size()), std::min(kPiece, g.numel() - i), single, {}});
    numbers_ += g.numel();
  }

  // Sum of squares of inv * g; with `write`, g *= inv.
  Sum squares(double inv, bool write) {
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

  // In double: against gradients near the end of fp32's range the factor would be a denormal float.
  void multiply(double factor) {
    each([&](Piece& p) {
      if (p.single) host::normalise(static_cast<float*>(p.data), p.n, factor);
      else host::normalise(static_cast<double*>(p.data), p.n, factor);
    });
  }

 private:
  static constexpr int64_t kPiece = 1 << 15;
  struct Piece {
    void* data;
    int64_t n;
    bool single;
    Sum sum;
  };

  // Squares of floats cannot overflow a double: a finite sum proves finite entries.
  static Sum pass(float* g, int64_t n, double inv, bool write) {
    const double s = host::scale_sum_squares(g, n, static_cast<float>(inv), write);
    return {s, std::isfinite(s)};
  }
  static Sum pass(double* g, int64_t n, double inv, bool write) {
    const double s = host::scale_sum_squares(g, n, inv, write);
    return std::isfinite(s) ? Sum{s, true} : rescue(g, n);
  }

  template <class F>
  void each(const F& f) {
    constexpr int64_t kShare = 4;  // pieces of a task: a tensor may be a handful of numbers
    const auto count = static_cast<int64_t>(pieces_.size());
    const auto share = [&](int64_t task, int64_t) {
      for (int64_t i = task * kShare; i < std::min(count, (task + 1) * kShare); ++i) f(pieces_[static_cast<size_t>(i)]);
    };
    const int64_t tasks = (count + kShare - 1) / kShare;
    if (numbers_ < kWorthThreads) serial_tasks(tasks, share);
    else parallel_tasks(tasks, share);
  }

  static constexpr int64_t kWorthThreads = 1 << 19;
  std::vector<Piece> pieces_;
  int64_t numbers_ = 0;
};

// One per thread, so that passes allocate nothing after the first.
HostGradients& host_gradients() {
  thread_local HostGradients list;
  list.clear();
  return list;
}

void write_results(GradPass& out, const Sum& total) {
  const auto keep = [](at::Tensor& t, at::ScalarType type) {
    if (!t.defined() || t.use_count() > 1 || !t.device().is_cpu()) t = at::empty({}, at::TensorOptions().dtype(type));
  };
  keep(out.norm, at::kDouble);
  keep(out.found_inf, at::kFloat);
  *out.norm.mutable_data_ptr<double>() = std::sqrt(total.squares);
  *out.found_inf.mutable_data_ptr<float>() = total.finite ? 0.f : 1.f;
}

}  // namespace

GradPass unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale) {
  GradPass out;
  unscale_and_norm(params, inv_scale, out);
  return out;
}

void unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale, GradPass& out) {
  c10::NoGradGuard no_grad;
  const bool scale = inv_scale.defined();
  HostGradients& on_host = host_gradients();
  at::Device device = at::kCPU;
  std::map<std::pair<int, int>, std::vector<at::Tensor>> others;  // by (device, dtype): foreach needs uniform lists
  double inv = 1;
  if (scale && inv_scale.device().is_cpu()) inv = host_value(inv_scale);
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    device = g.device();
    if (host_dense(g) && (!scale || inv_scale.device().is_cpu())) {
      on_host.add(g);
    } else {
      others[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
    }
  }
  const Sum total = on_host.squares(inv, scale);
  if (others.empty()) return write_results(out, total);
  const auto on = [&](at::ScalarType type) { return at::TensorOptions().dtype(type).device(device); };
  out.found_inf = at::zeros({}, on(at::kFloat));
  std::vector<at::Tensor> norms;
  const at::Tensor factor = scale ? inv_scale.to(device) : at::ones({}, on(at::kFloat));
  for (auto& [key, list] : others) {
    at::_amp_foreach_non_finite_check_and_unscale_(list, out.found_inf, factor);
    for (auto& n : at::_foreach_norm(list, 2, at::kDouble)) norms.push_back(std::move(n));
  }
  out.norm = at::linalg_vector_norm(at::stack(norms), 2);
  if (total.squares != 0 || !total.finite) {  // a mixture of devices or dtypes
    out.norm = at::sqrt(out.norm * out.norm + total.squares);
    if (!total.finite) out.found_inf.fill_(1);
  }
}

void read_gradients(const ParamList& params, double inv_scale, GradPass& out) {
  HostGradients& on_host = host_gradients();
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    if (!host_dense(g)) throw Error(ExitCode::internal, "optimizer", "a gradient of " + p.name + " is not plain CPU memory");
    on_host.add(g);
  }
  write_results(out, on_host.squares(inv_scale, false));
}

double clip_factor(double norm, double max_norm) {
  const double c = max_norm / (norm + 1e-6);
  return c > 1.0 ? 1.0 : c;  // keeps NaN
}

namespace {

using Lists = std::map<std::pair<int, int>, std::vector<at::Tensor>>;  // by (device, dtype)

// Host gradients *= c; the others are handed back.
Lists scale_host_gradients(const ParamList& params, double c) {
  Lists others;
  HostGradients& on_host = host_gradients();
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    if (host_dense(g)) on_host.add(g);
    else others[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
  }
  if (c != 1.0) on_host.multiply(c);
  return others;
}

void scale_gradients(const ParamList& params, const at::Tensor& coefficient) {
  if (coefficient.device().is_cpu()) {
    const double c = host_value(coefficient);
    if (c == 1.0) return;
    for (auto& [key, list] : scale_host_gradients(params, c)) at::_foreach_mul_(list, c);
    return;
  }
  Lists lists;
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    lists[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
  }
  for (auto& [key, list] : lists) at::_foreach_mul_(list, coefficient.to(list[0].device(), list[0].scalar_type()));
}

}  // namespace

void clip_(const ParamList& params, const at::Tensor& norm, const at::Tensor& max_norm) {
  c10::NoGradGuard no_grad;
  scale_gradients(params, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
}

void clip_(const ParamList& params, const at::Tensor& norm, double max_norm) {
  c10::NoGradGuard no_grad;
  if (!norm.device().is_cpu()) return scale_gradients(params, at::clamp_max(at::reciprocal(norm + 1e-6) * max_norm, 1.0));
  const double c = clip_factor(host_value(norm), max_norm);
  if (c == 1.0) return;
  for (auto& [key, list] : scale_host_gradients(params, c)) at::_foreach_mul_(list, c);
}

void EmaClip::clip(const ParamList& params, const GradPass& pass) {
  c10::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(at::kDouble).device(pass.norm.device());
  if (!state_.defined()) state_ = at::zeros({3}, options);
  if (state_.device() != pass.norm.device()) state_ = state_.to(pass.norm.device());
  const at::Tensor fast = state_.select(0, 0), slow = state_.select(0, 1), count = state_.select(0, 2);
  const at::Tensor seen = count.gt(0), spike = seen.logical_and(pass.norm.gt(slow * 2));
  const at::Tensor limit = fast * 1.1;
  const at::Tensor coefficient = at::where(spike, limit / (pass.norm + 1e-6), at::ones({}, options)).clamp_max(1.0);
  scale_gradients(params, coefficient);
  const at::Tensor used = at::where(spike, at::minimum(pass.norm, limit), pass.norm);
  const at::Tensor next = at::stack({at::where(seen, fast + (used - fast) * 0.1, used),  //
                                     at::where(seen, slow + (used - slow) * 0.01, used), count + 1});
  state_.copy_(at::where(pass.found_inf.eq(1), state_, next));
}

void EmaClip::load_state(const at::Tensor& state) {
  assert(state.numel() == 3);
  state_ = state.detach().to(at::kDouble).clone();
}

}  // namespace ups::optim
