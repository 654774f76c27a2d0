#include "ups/models/gelu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/fused_ops.h"
#include "ups/models/reference/block_kernels.h"

namespace ups::models::fused {
namespace {

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_in) {
    const at::Tensor x = x_in.contiguous();
    at::Tensor y = at::empty_like(x), slope = at::empty_like(x);
    const int64_t width = x.dim() > 0 && x.numel() > 0 ? x.size(-1) : 1;
    const at::Tensor no_bias = at::zeros({width}, x.options());
    reference::block_kernels().gelu_forward(x.numel() / width, width, x.const_data_ptr<float>(), no_bias.const_data_ptr<float>(),
                                            y.data_ptr<float>(), slope.data_ptr<float>());
    ctx->save_for_backward({slope});
    return y;
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx, const torch::autograd::variable_list& grads) {
    return {grads[0] * ctx->get_saved_variables()[0]};
  }
};

}  // namespace

at::Tensor gelu(const at::Tensor& x) { return enabled(x) ? Gelu::apply(x) : at::gelu(x); }

}  // namespace ups::models::fused
