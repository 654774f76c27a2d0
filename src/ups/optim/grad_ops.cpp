#include "ups/optim/grad_ops.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <utility>
#include <vector>

#include "ups/optim/host_gradients.h"
#include "ups/optim/tensor_lists.h"

namespace ups::optim {
namespace {

void write_results(GradPass& out, const HostGradients::Sum& total) {
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
  const bool scale = inv_scale.defined(), host_scale = !scale || inv_scale.device().is_cpu();
  HostGradients& on_host = HostGradients::cleared();
  GradientLists others;
  const at::Device device = collect_gradients(params, host_scale ? &on_host : nullptr, others);
  const HostGradients::Sum total = on_host.squares(scale && host_scale ? host_value(inv_scale) : 1, scale);
  out.pending = 1;
  if (others.empty()) return write_results(out, total);
  const auto on = [&](at::ScalarType type) { return at::TensorOptions().dtype(type).device(device); };
  out.found_inf = at::zeros({}, on(at::kFloat));
  std::vector<at::Tensor> norms;
  const at::Tensor factor = scale ? inv_scale.to(device) : at::ones({}, on(at::kFloat));
  for (auto& [key, list] : others) {
    at::_amp_foreach_non_finite_check_and_unscale_(list, out.found_inf, factor);
    for (auto& n : at::_foreach_norm(list, 2, at::kDouble)) norms.push_back(std::move(n));
  }
  const at::Tensor each = at::stack(norms);
  out.norm = at::linalg_vector_norm(each, 2);
  out.norms = others.size() == 1 ? each : at::Tensor();
  if (total.squares != 0 || !total.finite) {  // a mixture of devices or dtypes
    out.norm = at::sqrt(out.norm * out.norm + total.squares);
    if (!total.finite) out.found_inf.fill_(1);
  }
}

bool read_gradients(const ParamList& params, double inv_scale, GradPass& out) {
  HostGradients& on_host = HostGradients::cleared();
  GradientLists others;
  collect_gradients(params, &on_host, others);
  if (!others.empty()) return false;
  write_results(out, on_host.squares(inv_scale, false));
  out.pending = inv_scale;
  return true;
}

}  // namespace ups::optim
