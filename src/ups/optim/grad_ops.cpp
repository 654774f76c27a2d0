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

#include "ups/optim/host_kernels.h"
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

Sum host_pass(const at::Tensor& g, double inv, bool scale) {
  const int64_t n = g.numel();
  if (g.scalar_type() == at::kFloat) {
    // Squares of floats cannot overflow a double: a finite sum proves finite entries.
    const double s = host::scale_sum_squares(g.mutable_data_ptr<float>(), n, static_cast<float>(inv), scale);
    return {s, std::isfinite(s)};
  }
  double* data = g.mutable_data_ptr<double>();
  const double s = host::scale_sum_squares(data, n, inv, scale);
  return std::isfinite(s) ? Sum{s, true} : rescue(data, n);
}

}  // namespace

GradPass unscale_and_norm(const ParamList& params, const at::Tensor& inv_scale) {
  c10::NoGradGuard no_grad;
  const bool scale = inv_scale.defined();
  Sum total;
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
      const Sum s = host_pass(g, inv, scale);
      total.squares += s.squares;
      total.finite = total.finite && s.finite;
    } else {
      others[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
    }
  }
  const auto on = [&](at::ScalarType type) { return at::TensorOptions().dtype(type).device(device); };
  GradPass out;
  if (others.empty()) {
    out.norm = at::full({}, std::sqrt(total.squares), at::TensorOptions().dtype(at::kDouble));
    out.found_inf = at::full({}, total.finite ? 0.0 : 1.0, at::TensorOptions().dtype(at::kFloat));
    return out;
  }
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
  return out;
}

namespace {

void scale_gradients(const ParamList& params, const at::Tensor& coefficient) {
  const bool on_host = coefficient.device().is_cpu();
  const double c = on_host ? host_value(coefficient) : 0;
  if (on_host && c == 1.0) return;
  std::map<std::pair<int, int>, std::vector<at::Tensor>> others;
  for (const auto& p : params) {
    const at::Tensor& grad = p.tensor.grad();
    if (!grad.defined() || grad.numel() == 0) continue;
    const at::Tensor g = real_view(grad);
    if (on_host && host_dense(g)) {
      // In double: against gradients near the end of fp32's range the coefficient would be a denormal float.
      if (g.scalar_type() == at::kFloat) host::normalise(g.mutable_data_ptr<float>(), g.numel(), c);
      else host::normalise(g.mutable_data_ptr<double>(), g.numel(), c);
    } else {
      others[{g.device().index() + 256 * static_cast<int>(g.device().type()), static_cast<int>(g.scalar_type())}].push_back(g);
    }
  }
  for (auto& [key, list] : others)
    at::_foreach_mul_(list, coefficient.to(list[0].device(), list[0].scalar_type()));
}

}  // namespace

void clip_(const ParamList& params, const at::Tensor& norm, const at::Tensor& max_norm) {
  c10::NoGradGuard no_grad;
  scale_gradients(params, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
}

void clip_(const ParamList& params, const at::Tensor& norm, double max_norm) {
  c10::NoGradGuard no_grad;
  if (norm.device().is_cpu()) {
    double c = max_norm / (host_value(norm) + 1e-6);
    if (c > 1.0) c = 1.0;  // keeps NaN
    scale_gradients(params, at::full({}, c, at::TensorOptions().dtype(at::kDouble)));
  } else {
    scale_gradients(params, at::clamp_max(at::reciprocal(norm + 1e-6) * max_norm, 1.0));
  }
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
