#include "ups/optim/grad_clip.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cassert>
#include <cmath>

#include "ups/optim/host_gradients.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

constexpr double kSmallestOrdinary = 1e-30;  // below, a gradient factor may become a denormal float

void scale_gradients(const ParamList& params, double c) {
  if (c == 1.0) return;
  HostGradients& on_host = HostGradients::cleared();
  GradientLists others;
  collect_gradients(params, &on_host, others);
  on_host.multiply(c);
  for (auto& [key, list] : others) at::_foreach_mul_(list, c);
}

void scale_gradients(const ParamList& params, const at::Tensor& coefficient) {
  if (coefficient.device().is_cpu()) return scale_gradients(params, host_value(coefficient));
  GradientLists lists;
  collect_gradients(params, nullptr, lists);
  for (auto& [key, list] : lists) at::_foreach_mul_(list, coefficient.to(list[0].device(), list[0].scalar_type()));
}

}  // namespace

double clip_factor(double norm, double max_norm) {
  const double c = max_norm / (norm + 1e-6);
  return c > 1.0 ? 1.0 : c;  // keeps NaN
}

void clip_(const ParamList& params, const at::Tensor& norm, const at::Tensor& max_norm) {
  c10::NoGradGuard no_grad;
  scale_gradients(params, at::clamp_max(max_norm / (norm + 1e-6), 1.0));
}

void clip_(const ParamList& params, const at::Tensor& norm, double max_norm) {
  c10::NoGradGuard no_grad;
  if (!norm.device().is_cpu()) return scale_gradients(params, at::clamp_max(at::reciprocal(norm + 1e-6) * max_norm, 1.0));
  scale_gradients(params, clip_factor(host_value(norm), max_norm));
}

void multiply_on_read(Optimizer& optimizer, double factor) {
  c10::NoGradGuard no_grad;
  const bool ordinary = std::isfinite(factor) && std::abs(factor) >= kSmallestOrdinary;
  if (!ordinary) scale_gradients(optimizer.params(), factor);
  optimizer.set_grad_factor(ordinary ? factor : 1);
}

at::Tensor EmaClip::coefficient(const GradPass& pass) {
  c10::NoGradGuard no_grad;
  const auto options = at::TensorOptions().dtype(at::kDouble).device(pass.norm.device());
  if (!state_.defined()) state_ = at::zeros({3}, options);
  if (state_.device() != pass.norm.device()) state_ = state_.to(pass.norm.device());
  const at::Tensor fast = state_.select(0, 0), slow = state_.select(0, 1), count = state_.select(0, 2);
  const at::Tensor seen = count.gt(0), spike = seen.logical_and(pass.norm.gt(slow * 2));
  const at::Tensor limit = fast * 1.1;
  const at::Tensor result = at::where(spike, limit / (pass.norm + 1e-6), at::ones({}, options)).clamp_max(1.0);
  const at::Tensor used = at::where(spike, at::minimum(pass.norm, limit), pass.norm);
  const at::Tensor next = at::stack({at::where(seen, fast + (used - fast) * 0.1, used),  //
                                     at::where(seen, slow + (used - slow) * 0.01, used), count + 1});
  state_.copy_(at::where(pass.found_inf.eq(1), state_, next));
  return result;
}

void EmaClip::clip(const ParamList& params, const GradPass& pass) {
  c10::NoGradGuard no_grad;
  scale_gradients(params, coefficient(pass));
}

void EmaClip::load_state(const at::Tensor& state) {
  assert(state.numel() == 3);
  state_ = state.detach().to(at::kDouble).clone();
}

}  // namespace ups::optim
