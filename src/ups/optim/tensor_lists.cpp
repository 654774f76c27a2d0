#include "ups/optim/tensor_lists.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "ups/core/error.h"

namespace ups::optim {

namespace {

// Same order in memory. Strides of axes of length 1 mean nothing; CUDA's fused kernels compare them all the same.
bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.strides() == b.strides()) return true;
  if (!a.device().is_cpu()) return false;
  for (int64_t d = 0; d < a.dim(); ++d)
    if (a.size(d) != 1 && a.stride(d) != b.stride(d)) return false;
  return true;
}

}  // namespace

at::Tensor real_view(const at::Tensor& t) { return t.is_complex() ? at::view_as_real(t) : t; }

at::Tensor gradient_like(const at::Tensor& parameter, const at::Tensor& w) {
  const at::Tensor& grad = parameter.grad();
  if (!grad.defined()) return {};
  if (grad.layout() != at::kStrided)
    throw Error(ExitCode::internal, "optimizer", "a gradient is sparse", "no optimizer here supports sparse gradients");
  const at::Tensor g = real_view(grad);
  if (same_layout(g, w) && g.scalar_type() == w.scalar_type()) return g;
  return at::empty_like(w).copy_(g);
}

void check_trainable(const Param& p) {
  const at::Tensor& t = p.tensor;
  const char* problem = !t.defined()                                  ? "is undefined"
                        : !(t.is_floating_point() || t.is_complex()) ? "has an integer type"
                        : t.layout() != at::kStrided                  ? "is sparse"
                        : !t.is_non_overlapping_and_dense()           ? "is a view with gaps or overlaps"
                                                                      : nullptr;
  if (problem) throw Error(ExitCode::internal, "optimizer", fmt::format("parameter {} {}", p.name, problem));
}

}  // namespace ups::optim
