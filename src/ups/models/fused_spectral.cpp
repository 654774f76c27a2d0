#include "ups/models/fused_spectral.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/kernel_clones.h"
#include "ups/models/reference/block_kernels.h"

namespace ups::models::fused {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const float* values(const Tensor& t) { return t.const_data_ptr<float>(); }

// y = x W per mode: x, y [K, 2, B, D] (re, im), w [K, D, 2 D]. Rows of W outside, so that each is read once.
UPS_CLONES void modes_forward(const float* x, const float* w, float* y, int64_t k, int64_t b, int64_t d) {
  for (int64_t m = 0; m < k; ++m, x += 2 * b * d, y += 2 * b * d) {
    for (int64_t i = 0; i < 2 * b * d; ++i) y[i] = 0;
    for (int64_t i = 0; i < d; ++i, w += 2 * d) {
      for (int64_t r = 0; r < b; ++r) {
        const float re = x[r * d + i], im = x[(b + r) * d + i];
        float *yr = y + r * d, *yi = yr + b * d;
        for (int64_t o = 0; o < d; ++o) {
          yr[o] += re * w[o] - im * w[d + o];
          yi[o] += re * w[d + o] + im * w[o];
        }
      }
    }
  }
}

// dx = g conj(W)^T and dw = x^H g per mode; scratch holds 2 D^2 floats.
UPS_CLONES void modes_backward(const float* g, const float* x, const float* w, float* dx, float* dw, float* scratch, int64_t k, int64_t b,
                               int64_t d) {
  for (int64_t m = 0; m < k; ++m, x += 2 * b * d, g += 2 * b * d, dx += 2 * b * d, w += 2 * d * d) {
    for (int64_t i = 0; i < d; ++i)
      for (int64_t o = 0; o < 2 * d; ++o) scratch[o * d + i] = w[i * 2 * d + o];
    for (int64_t i = 0; i < 2 * b * d; ++i) dx[i] = 0;
    for (int64_t o = 0; o < d; ++o) {
      const float *wr = scratch + o * d, *wi = scratch + (d + o) * d;
      for (int64_t r = 0; r < b; ++r) {
        const float gr = g[r * d + o], gi = g[(b + r) * d + o];
        float *re = dx + r * d, *im = re + b * d;
        for (int64_t i = 0; i < d; ++i) {
          re[i] += gr * wr[i] + gi * wi[i];
          im[i] += gi * wr[i] - gr * wi[i];
        }
      }
    }
    for (int64_t i = 0; i < d; ++i, dw += 2 * d) {
      for (int64_t o = 0; o < 2 * d; ++o) dw[o] = 0;
      for (int64_t r = 0; r < b; ++r) {
        const float re = x[r * d + i], im = x[(b + r) * d + i];
        const float *gr = g + r * d, *gi = gr + b * d;
        for (int64_t o = 0; o < d; ++o) {
          dw[o] += re * gr[o] + im * gi[o];
          dw[d + o] += re * gi[o] - im * gr[o];
        }
      }
    }
  }
}

// Fields are [N, B D] here, spectra [2 K, B D] = [K, (re, im), B, D].
Tensor mix(const Tensor& spectrum, const Tensor& spectral) {
  const int64_t k = spectral.size(0), d = spectral.size(1), b = spectrum.size(1) / d;
  Tensor y = at::empty_like(spectrum);
  modes_forward(values(spectrum), values(spectral), y.data_ptr<float>(), k, b, d);
  return y;
}
struct SpectralGrads {
  Tensor input, spectral;
};
SpectralGrads mix_backward(const Tensor& g, const Tensor& spectrum, const Tensor& spectral) {
  const int64_t k = spectral.size(0), d = spectral.size(1), b = spectrum.size(1) / d;
  SpectralGrads out{at::empty_like(spectrum), at::empty_like(spectral)};
  Tensor scratch = at::empty({2 * d, d}, g.options());
  modes_backward(values(g), values(spectrum), values(spectral), out.input.data_ptr<float>(), out.spectral.data_ptr<float>(),
                 scratch.data_ptr<float>(), k, b, d);
  return out;
}

// A context keeps tensors and IValues, and a capsule is the IValue for everything else.
struct Matrices : torch::CustomClassHolder {
  explicit Matrices(RealDft d) : dft(std::move(d)) {}
  RealDft dft;
};
void save(AutogradContext* ctx, const RealDft& dft) { ctx->saved_data["dft"] = c10::IValue::make_capsule(c10::make_intrusive<Matrices>(dft)); }
const RealDft& saved_dft(AutogradContext* ctx) {
  return static_cast<Matrices*>(ctx->saved_data["dft"].toCapsule().get())->dft;
}

struct SpectralConv1d : torch::autograd::Function<SpectralConv1d> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& spectral, const RealDft& dft) {
    const Tensor spectrum = dft.spectrum(x.reshape({x.size(0), -1}));
    Tensor y = at::zeros({x.size(0), spectrum.size(1)}, x.options());
    dft.add_field(mix(spectrum, spectral), y);
    ctx->save_for_backward({spectrum, spectral});
    save(ctx, dft);
    return y.view(x.sizes());
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const RealDft& dft = saved_dft(ctx);
    const Tensor g = grads[0].reshape({grads[0].size(0), -1});
    const SpectralGrads d = mix_backward(dft.field_grad(g), saved[0], saved[1]);
    Tensor dx = at::zeros_like(g);
    dft.add_spectrum_grad(d.input, dx);
    return {dx.view(grads[0].sizes()), d.spectral, Tensor()};
  }
};

struct FourierLayer1d : torch::autograd::Function<FourierLayer1d> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& spectral, const RealDft& dft, const Tensor& weight,
                        const Tensor& bias, bool activate) {
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2);
    const Tensor spectrum = dft.spectrum(x.view({n, b * d})), rows = x.view({n * b, d});
    Tensor u = (activate ? at::mm(rows, weight.t()) : at::addmm(bias, rows, weight.t())).view({n, b * d}), slope;
    dft.add_field(mix(spectrum, spectral), u);
    if (activate) {
      // One row per position: whole vectors also where D is not a multiple of them.
      const Tensor bias_row = bias.repeat({b});
      slope = at::empty_like(u);
      reference::block_kernels().gelu_forward(n, b * d, values(u), values(bias_row), u.data_ptr<float>(), slope.data_ptr<float>());
    }
    ctx->save_for_backward({rows, spectrum, spectral, weight, slope});
    save(ctx, dft);
    return u.view({n, b, d});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const RealDft& dft = saved_dft(ctx);
    const Tensor &rows = saved[0], &spectrum = saved[1], &spectral = saved[2], &weight = saved[3], &slope = saved[4];
    const int64_t n = grads[0].size(0), b = grads[0].size(1), d = grads[0].size(2);
    Tensor g = grads[0].contiguous().view({n, b * d}), sums = at::empty({b, d}, g.options());
    if (slope.defined()) {
      g = g.clone();
      reference::block_kernels().gelu_backward(n, b * d, g.data_ptr<float>(), values(slope), sums.data_ptr<float>());
    } else {
      reference::block_kernels().column_sums(n, b * d, values(g), sums.data_ptr<float>());
    }
    const SpectralGrads ds = mix_backward(dft.field_grad(g), spectrum, spectral);
    const Tensor g_rows = g.view({n * b, d});
    Tensor dx = at::mm(g_rows, weight).view({n, b * d});
    dft.add_spectrum_grad(ds.input, dx);
    return {dx.view({n, b, d}), ds.spectral, Tensor(), at::mm(g_rows.t(), rows), sums.sum(0), Tensor()};
  }
};

struct GeluMlp : torch::autograd::Function<GeluMlp> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2) {
    const Tensor rows = x.view({-1, x.size(-1)});
    Tensor hidden = at::mm(rows, w1.t()), slope = at::empty_like(hidden);
    reference::block_kernels().gelu_forward(hidden.size(0), hidden.size(1), values(hidden), values(b1), hidden.data_ptr<float>(),
                                            slope.data_ptr<float>());
    ctx->save_for_backward({rows, hidden, slope, w1, w2});
    std::vector<int64_t> shape(x.sizes().begin(), x.sizes().end());
    shape.back() = w2.size(0);
    return at::addmm(b2, hidden, w2.t()).view(shape);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &rows = saved[0], &hidden = saved[1], &slope = saved[2], &w1 = saved[3], &w2 = saved[4];
    const Tensor g = grads[0].reshape({rows.size(0), -1});
    Tensor dh = at::mm(g, w2), db1 = at::empty({w1.size(0)}, g.options());
    reference::block_kernels().gelu_backward(dh.size(0), dh.size(1), dh.data_ptr<float>(), values(slope), db1.data_ptr<float>());
    std::vector<int64_t> shape(grads[0].sizes().begin(), grads[0].sizes().end());
    shape.back() = rows.size(1);
    return {at::mm(dh, w1).view(shape), at::mm(dh.t(), rows), db1, at::mm(g.t(), hidden), g.sum(0)};
  }
};

}  // namespace

Tensor spectral_conv1d(const Tensor& x, const Tensor& spectral, const RealDft& dft) { return SpectralConv1d::apply(x, spectral, dft); }

Tensor fourier_layer1d(const Tensor& x, const Tensor& spectral, const RealDft& dft, const Tensor& weight, const Tensor& bias, bool activate) {
  return FourierLayer1d::apply(x.contiguous(), spectral, dft, weight, bias, activate);
}

Tensor gelu_mlp(const Tensor& x, const Tensor& w1, const Tensor& b1, const Tensor& w2, const Tensor& b2) {
  return GeluMlp::apply(x.contiguous(), w1, b1, w2, b2);
}

}  // namespace ups::models::fused
