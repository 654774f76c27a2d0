#include "ups/models/window_kernel.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "ups/models/fused_ops.h"
#include "ups/models/kernel_clones.h"

namespace ups::models::fused {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr float kMinNorm = 1e-6f;

struct Shape {
  int64_t rows, w, heads, e, masks;
};

// Unit q and k of one window and head as [E, W] (positions innermost, so that the loops over keys vectorise), with 1 / norm.
UPS_CLONES void load_unit(const float* base, int64_t stride, int64_t w, int64_t e, float* out, float* inverse) {
  for (int64_t i = 0; i < w; ++i) {
    float sum = 0;
    for (int64_t k = 0; k < e; ++k) sum += base[i * stride + k] * base[i * stride + k];
    const float norm = std::sqrt(sum), r = 1.0f / (norm > kMinNorm ? norm : kMinNorm);
    inverse[i] = r;
    for (int64_t k = 0; k < e; ++k) out[k * w + i] = base[i * stride + k] * r;
  }
}

UPS_CLONES void forward_window(const float* q, const float* k, const float* v, int64_t stride, const float* bias, const float* mask, float scale,
                               const Shape& s, float* scratch, float* probabilities, float* y) {
  const int64_t w = s.w, e = s.e;
  float *qu = scratch, *ku = qu + e * w, *iq = ku + e * w, *ik = iq + w;
  load_unit(q, stride, w, e, qu, iq);
  load_unit(k, stride, w, e, ku, ik);
  for (int64_t i = 0; i < w; ++i) {
    float* p = probabilities + i * w;
    for (int64_t j = 0; j < w; ++j) p[j] = 0;
    for (int64_t f = 0; f < e; ++f) {
      const float a = qu[f * w + i] * scale;
      for (int64_t j = 0; j < w; ++j) p[j] += a * ku[f * w + j];
    }
    float largest = -1e30f;
    for (int64_t j = 0; j < w; ++j) {
      p[j] += bias[i * w + j] + (mask != nullptr ? mask[i * w + j] : 0.0f);
      largest = largest > p[j] ? largest : p[j];
    }
    float sum = 0;
    for (int64_t j = 0; j < w; ++j) {
      p[j] = std::exp(p[j] - largest);
      sum += p[j];
    }
    const float r = 1.0f / sum;
    for (int64_t j = 0; j < w; ++j) p[j] *= r;
    float* out = y + i * s.heads * e;
    for (int64_t f = 0; f < e; ++f) out[f] = 0;
    for (int64_t j = 0; j < w; ++j)
      for (int64_t f = 0; f < e; ++f) out[f] += p[j] * v[j * stride + f];
  }
}

// Gradients of one window and head; dbias [W, W] and *dscale accumulate.
UPS_CLONES void backward_window(const float* q, const float* k, const float* v, int64_t stride, const float* p, const float* dy, float scale,
                                const Shape& s, float* scratch, float* dq, float* dk, float* dv, float* dbias, float* dscale) {
  const int64_t w = s.w, e = s.e;
  float *qu = scratch, *ku = qu + e * w, *iq = ku + e * w, *ik = iq + w, *ds = ik + w, *gq = ds + w * w, *gk = gq + e * w;
  load_unit(q, stride, w, e, qu, iq);
  load_unit(k, stride, w, e, ku, ik);
  std::fill(gq, gq + 2 * e * w, 0.0f);
  for (int64_t j = 0; j < w; ++j)
    for (int64_t f = 0; f < e; ++f) dv[j * stride + f] = 0;
  float scale_gradient = 0;
  for (int64_t i = 0; i < w; ++i) {
    const float *row = p + i * w, *g = dy + i * s.heads * e;
    float dot = 0;
    for (int64_t j = 0; j < w; ++j) {
      float a = 0;
      for (int64_t f = 0; f < e; ++f) {
        a += g[f] * v[j * stride + f];
        dv[j * stride + f] += row[j] * g[f];
      }
      ds[i * w + j] = a;
      dot += a * row[j];
    }
    for (int64_t j = 0; j < w; ++j) {
      ds[i * w + j] = row[j] * (ds[i * w + j] - dot);
      dbias[i * w + j] += ds[i * w + j];
    }
    for (int64_t f = 0; f < e; ++f) {
      float a = 0;
      const float b = scale * qu[f * w + i];
      for (int64_t j = 0; j < w; ++j) {
        a += ds[i * w + j] * ku[f * w + j];
        gk[f * w + j] += b * ds[i * w + j];
      }
      gq[f * w + i] = scale * a;
      scale_gradient += a * qu[f * w + i];
    }
  }
  *dscale += scale_gradient;
  // d(x / |x|) = (g - u (u . g)) / |x|
  for (int64_t i = 0; i < w; ++i) {
    float a = 0, b = 0;
    for (int64_t f = 0; f < e; ++f) {
      a += gq[f * w + i] * qu[f * w + i];
      b += gk[f * w + i] * ku[f * w + i];
    }
    for (int64_t f = 0; f < e; ++f) {
      dq[i * stride + f] = (gq[f * w + i] - a * qu[f * w + i]) * iq[i];
      dk[i * stride + f] = (gk[f * w + i] - b * ku[f * w + i]) * ik[i];
    }
  }
}

struct WindowAttentionOp : torch::autograd::Function<WindowAttentionOp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& qkv_in, const Tensor& scale, const Tensor& bias_in, const Tensor& mask) {
    const Tensor qkv = qkv_in.contiguous(), bias = bias_in.contiguous();
    const Shape s{qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4), mask.numel() > 0 ? mask.size(0) : 0};
    Tensor y = at::empty({s.rows, s.w, s.heads * s.e}, qkv.options()), p = at::empty({s.rows, s.heads, s.w, s.w}, qkv.options());
    std::vector<float> scratch(static_cast<size_t>(2 * s.e * s.w + 2 * s.w));
    const int64_t he = s.heads * s.e, stride = 3 * he, ww = s.w * s.w;
    const float *x = qkv.const_data_ptr<float>(), *b = bias.const_data_ptr<float>(), *a = scale.const_data_ptr<float>();
    const float* m = mask.numel() > 0 ? mask.const_data_ptr<float>() : nullptr;
    for (int64_t r = 0; r < s.rows; ++r) {
      const float* here = m != nullptr ? m + r / (s.rows / s.masks) * ww : nullptr;
      for (int64_t h = 0; h < s.heads; ++h) {
        const float* q = x + r * s.w * stride + h * s.e;
        forward_window(q, q + he, q + 2 * he, stride, b + h * ww, here, a[h], s, scratch.data(), p.data_ptr<float>() + (r * s.heads + h) * ww,
                       y.data_ptr<float>() + r * s.w * he + h * s.e);
      }
    }
    ctx->save_for_backward({qkv, scale, p});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &qkv = saved[0], &scale = saved[1], &p = saved[2];
    const Tensor g = grads[0].contiguous();
    const Shape s{qkv.size(0), qkv.size(1), qkv.size(3), qkv.size(4), 0};
    Tensor dqkv = at::empty_like(qkv), dscale = at::zeros_like(scale), dbias = at::zeros({s.heads, s.w, s.w}, qkv.options());
    std::vector<float> scratch(static_cast<size_t>(4 * s.e * s.w + 2 * s.w + s.w * s.w));
    const int64_t he = s.heads * s.e, stride = 3 * he, ww = s.w * s.w;
    const float *x = qkv.const_data_ptr<float>(), *a = scale.const_data_ptr<float>();
    for (int64_t r = 0; r < s.rows; ++r) {
      for (int64_t h = 0; h < s.heads; ++h) {
        const int64_t at = r * s.w * stride + h * s.e;
        float* d = dqkv.data_ptr<float>() + at;
        backward_window(x + at, x + at + he, x + at + 2 * he, stride, p.const_data_ptr<float>() + (r * s.heads + h) * ww,
                        g.const_data_ptr<float>() + r * s.w * he + h * s.e, a[h], s, scratch.data(), d, d + he, d + 2 * he,
                        dbias.data_ptr<float>() + h * ww, dscale.data_ptr<float>() + h);
      }
    }
    return {dqkv, dscale, dbias, Tensor()};
  }
};

}  // namespace

Tensor window_attention(const Tensor& qkv, const Tensor& scale, const Tensor& bias, const Tensor& mask) {
  return WindowAttentionOp::apply(qkv, scale, bias, mask.defined() ? mask : at::empty({0}, qkv.options()));
}

}  // namespace ups::models::fused
