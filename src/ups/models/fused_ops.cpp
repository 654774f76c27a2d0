#include "ups/models/fused_ops.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <atomic>
#include <cmath>

#include "ups/models/kernel_clones.h"

namespace ups::models::fused {
namespace {

std::atomic<bool> g_enabled{true};

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using at::Tensor;

UPS_CLONES void norm_forward(const float* x, const float* shift, const float* scale, float* y, float* mean, float* rstd, int64_t n,
                             int64_t b, int64_t d) {
  for (int64_t r = 0; r < n * b; ++r) {
    const float* row = x + r * d;
    const float *sh = shift + (r % b) * d, *sc = scale + (r % b) * d;
    float* out = y + r * d;
    float sum = 0, square = 0;
    for (int64_t i = 0; i < d; ++i) sum += row[i];
    const float m = sum / static_cast<float>(d);
    for (int64_t i = 0; i < d; ++i) square += (row[i] - m) * (row[i] - m);
    const float s = 1.0f / std::sqrt(square / static_cast<float>(d) + static_cast<float>(kNormEps));
    for (int64_t i = 0; i < d; ++i) out[i] = (row[i] - m) * s * (1.0f + sc[i]) + sh[i];
    mean[r] = m;
    rstd[r] = s;
  }
}

// dshift and dscale hold [B, D] and start at zero.
UPS_CLONES void norm_backward(const float* dy, const float* x, const float* scale, const float* mean, const float* rstd, float* dx,
                              float* dshift, float* dscale, int64_t n, int64_t b, int64_t d) {
  for (int64_t r = 0; r < n * b; ++r) {
    const float *g = dy + r * d, *row = x + r * d, *sc = scale + (r % b) * d;
    float *dsh = dshift + (r % b) * d, *dsc = dscale + (r % b) * d, *out = dx + r * d;
    const float m = mean[r], s = rstd[r];
    float a = 0, c = 0;
    for (int64_t i = 0; i < d; ++i) {
      const float hat = (row[i] - m) * s, gh = g[i] * (1.0f + sc[i]);
      dsh[i] += g[i];
      dsc[i] += g[i] * hat;
      a += gh;
      c += gh * hat;
    }
    a /= static_cast<float>(d);
    c /= static_cast<float>(d);
    for (int64_t i = 0; i < d; ++i) out[i] = s * (g[i] * (1.0f + sc[i]) - a - (row[i] - m) * s * c);
  }
}

UPS_CLONES void gate_forward(const float* x, const float* gate, const float* y, float* out, int64_t n, int64_t bd) {
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < bd; ++i) out[r * bd + i] = x[r * bd + i] + gate[i] * y[r * bd + i];
}

UPS_CLONES void gate_backward(const float* g, const float* gate, const float* y, float* dy, float* dgate, int64_t n, int64_t bd) {
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t i = 0; i < bd; ++i) {
      dy[r * bd + i] = g[r * bd + i] * gate[i];
      dgate[i] += g[r * bd + i] * y[r * bd + i];
    }
  }
}

UPS_CLONES void modulate_forward(const float* x, const float* shift, const float* scale, float* y, int64_t n, int64_t bd) {
  for (int64_t r = 0; r < n; ++r)
    for (int64_t i = 0; i < bd; ++i) y[r * bd + i] = x[r * bd + i] * (1.0f + scale[i]) + shift[i];
}

UPS_CLONES void modulate_backward(const float* g, const float* x, const float* scale, float* dx, float* dshift, float* dscale, int64_t n,
                                  int64_t bd) {
  for (int64_t r = 0; r < n; ++r) {
    for (int64_t i = 0; i < bd; ++i) {
      dx[r * bd + i] = g[r * bd + i] * (1.0f + scale[i]);
      dshift[i] += g[r * bd + i];
      dscale[i] += g[r * bd + i] * x[r * bd + i];
    }
  }
}

const float* data(const Tensor& t) { return t.const_data_ptr<float>(); }

struct ModulatedNorm : torch::autograd::Function<ModulatedNorm> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& shift_in, const Tensor& scale_in) {
    const Tensor x = x_in.contiguous(), shift = shift_in.contiguous(), scale = scale_in.contiguous();
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2);
    Tensor y = at::empty_like(x), mean = at::empty({n * b}, x.options()), rstd = at::empty({n * b}, x.options());
    norm_forward(data(x), data(shift), data(scale), y.data_ptr<float>(), mean.data_ptr<float>(), rstd.data_ptr<float>(), n, b, d);
    ctx->save_for_backward({x, scale, mean, rstd});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = grads[0].contiguous();
    const Tensor &x = saved[0], &scale = saved[1];
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2);
    Tensor dx = at::empty_like(x), dshift = at::zeros_like(scale), dscale = at::zeros_like(scale);
    norm_backward(data(g), data(x), data(scale), data(saved[2]), data(saved[3]), dx.data_ptr<float>(), dshift.data_ptr<float>(),
                  dscale.data_ptr<float>(), n, b, d);
    return {dx, dshift, dscale};
  }
};

struct Modulated : torch::autograd::Function<Modulated> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& shift_in, const Tensor& scale_in) {
    const Tensor x = x_in.contiguous(), shift = shift_in.contiguous(), scale = scale_in.contiguous();
    Tensor y = at::empty_like(x);
    modulate_forward(data(x), data(shift), data(scale), y.data_ptr<float>(), x.size(0), x.size(1) * x.size(2));
    ctx->save_for_backward({x, scale});
    return y;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = grads[0].contiguous();
    const Tensor &x = saved[0], &scale = saved[1];
    Tensor dx = at::empty_like(x), dshift = at::zeros_like(scale), dscale = at::zeros_like(scale);
    modulate_backward(data(g), data(x), data(scale), dx.data_ptr<float>(), dshift.data_ptr<float>(), dscale.data_ptr<float>(),
                      x.size(0), x.size(1) * x.size(2));
    return {dx, dshift, dscale};
  }
};

struct GatedAdd : torch::autograd::Function<GatedAdd> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x_in, const Tensor& gate_in, const Tensor& y_in) {
    const Tensor x = x_in.contiguous(), gate = gate_in.contiguous(), y = y_in.contiguous();
    Tensor out = at::empty_like(x);
    gate_forward(data(x), data(gate), data(y), out.data_ptr<float>(), x.size(0), x.size(1) * x.size(2));
    ctx->save_for_backward({gate, y});
    return out;
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor g = grads[0].contiguous();
    Tensor dy = at::empty_like(saved[1]), dgate = at::zeros_like(saved[0]);
    gate_backward(data(g), data(saved[0]), data(saved[1]), dy.data_ptr<float>(), dgate.data_ptr<float>(), g.size(0),
                  g.size(1) * g.size(2));
    return {g, dgate, dy};
  }
};

// Rows -1 and N of the padded input: the other end, or the edge repeated.
Tensor padded_rows(const Tensor& x, bool periodic) {
  const int64_t n = x.size(0);
  return periodic ? at::cat({x.narrow(0, n - 1, 1), x, x.narrow(0, 0, 1)}, 0) : at::cat({x.narrow(0, 0, 1), x, x.narrow(0, n - 1, 1)}, 0);
}

struct TokenConv3 : torch::autograd::Function<TokenConv3> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& weight, const Tensor& bias, bool periodic) {
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2), out = weight.size(0);
    const Tensor padded = padded_rows(x, periodic).view({(n + 2) * b, d});
    Tensor y = at::addmm(bias, padded.narrow(0, 0, n * b), weight.narrow(1, 0, d).t());
    for (int64_t k = 1; k < 3; ++k) y.addmm_(padded.narrow(0, k * b, n * b), weight.narrow(1, k * d, d).t());
    ctx->save_for_backward({padded, weight});
    ctx->saved_data["periodic"] = periodic;
    return y.view({n, b, out});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &padded = saved[0], &weight = saved[1];
    const int64_t n = grads[0].size(0), b = grads[0].size(1), d = padded.size(1), out = weight.size(0);
    const Tensor g = grads[0].reshape({n * b, out});
    Tensor dpad = at::zeros_like(padded), dw = at::empty_like(weight);
    for (int64_t k = 0; k < 3; ++k) {
      dpad.narrow(0, k * b, n * b).addmm_(g, weight.narrow(1, k * d, d));
      dw.narrow(1, k * d, d).copy_(at::mm(g.t(), padded.narrow(0, k * b, n * b)));
    }
    Tensor dx = dpad.narrow(0, b, n * b);
    const Tensor first = dpad.narrow(0, 0, b), last = dpad.narrow(0, (n + 1) * b, b);
    const bool periodic = ctx->saved_data["periodic"].toBool();
    dx.narrow(0, periodic ? (n - 1) * b : 0, b).add_(first);
    dx.narrow(0, periodic ? 0 : (n - 1) * b, b).add_(last);
    return {dx.view({n, b, d}), dw, g.sum(0), Tensor()};
  }
};

}  // namespace

void set_enabled(bool on) { g_enabled = on; }

bool enabled(const Tensor& x) {
  return g_enabled && x.device().is_cpu() && x.scalar_type() == at::kFloat && !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor modulated_norm(const Tensor& x, const Tensor& shift, const Tensor& scale) {
  if (enabled(x)) return ModulatedNorm::apply(x, shift, scale);
  return at::layer_norm(x, {x.size(-1)}, {}, {}, kNormEps) * (1 + scale) + shift;
}

Tensor modulated(const Tensor& x, const Tensor& shift, const Tensor& scale) {
  if (enabled(x)) return Modulated::apply(x, shift, scale);
  return x * (1 + scale) + shift;
}

Tensor gated_add(const Tensor& x, const Tensor& gate, const Tensor& y) {
  if (enabled(x)) return GatedAdd::apply(x, gate, y);
  return x + gate * y;
}

Tensor token_conv3(const Tensor& x, const Tensor& weight, const Tensor& bias, bool periodic) {
  return TokenConv3::apply(x.contiguous(), weight, bias, periodic);
}

}  // namespace ups::models::fused
