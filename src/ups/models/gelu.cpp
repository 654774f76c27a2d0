#include "ups/models/gelu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cstdint>

#include "ups/models/fused_ops.h"
#include "ups/models/kernel_clones.h"

namespace ups::models::fused {
namespace {

// y = x Phi(x), dy = Phi(x) + x phi(x). 1 - Phi(|x|) by Abramowitz and Stegun 7.1.26, which keeps relative accuracy in the tail;
// exp(-x^2/2) as 2^k 2^f with f in [-1/2, 1/2] and a series to the seventh power.
UPS_CLONES void gelu_with_slope(const float* x, float* y, float* slope, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const float v = x[i], a = v < 0 ? -v : v;
    float u = -0.72134752f * v * v;  // log2(e) / 2
    const float some = u > -126.0f ? 1.0f : 0.0f;
    u = u > -126.0f ? u : -126.0f;
    const auto k = static_cast<int32_t>(u - 0.5f);  // u <= 0: to the nearest integer
    const float f = u - static_cast<float>(k);
    float e = 1.5252734e-5f;
    e = e * f + 1.5403530e-4f;
    e = e * f + 1.3333558e-3f;
    e = e * f + 9.6181291e-3f;
    e = e * f + 5.5504109e-2f;
    e = e * f + 2.4022651e-1f;
    e = e * f + 6.9314718e-1f;
    e = e * f + 1.0f;
    e *= some * __builtin_bit_cast(float, (k + 127) << 23);
    const float t = 1.0f / (1.0f + 0.3275911f * 0.70710678f * a);
    float q = 1.061405429f;
    q = q * t - 1.453152027f;
    q = q * t + 1.421413741f;
    q = q * t - 0.284496736f;
    q = q * t + 0.254829592f;
    q = 0.5f * q * t * e;
    const float phi = v < 0 ? q : 1.0f - q;
    y[i] = v * phi;
    slope[i] = phi + v * e * 0.39894228f;
  }
}

struct Gelu : torch::autograd::Function<Gelu> {
  static at::Tensor forward(torch::autograd::AutogradContext* ctx, const at::Tensor& x_in) {
    const at::Tensor x = x_in.contiguous();
    at::Tensor y = at::empty_like(x), slope = at::empty_like(x);
    gelu_with_slope(x.const_data_ptr<float>(), y.data_ptr<float>(), slope.data_ptr<float>(), x.numel());
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
