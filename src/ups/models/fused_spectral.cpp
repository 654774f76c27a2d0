#include "ups/models/fused_spectral.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/reference/block_kernels.h"
#include "ups/models/spectral_modes.h"

namespace ups::models::fused {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

const float* values(const Tensor& t) { return t.const_data_ptr<float>(); }

struct SpectralConv1d : torch::autograd::Function<SpectralConv1d> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& spectral, const RealDft& dft) {
    const Tensor spectrum = dft.spectrum(x.contiguous().view({x.size(0), -1}));
    Tensor y = at::zeros({x.size(0), spectrum.size(1)}, x.options());
    dft.add_field(mix_modes(spectrum, spectral), y);
    ctx->save_for_backward({spectrum, spectral});
    keep_dft(ctx, dft);
    return y.view(x.sizes());
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const RealDft& dft = kept_dft(ctx);
    const Tensor g = grads[0].contiguous().view({grads[0].size(0), -1});
    const SpectralGrads d = mix_modes_backward(dft.field_grad(g), saved[0], saved[1]);
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
    dft.add_field(mix_modes(spectrum, spectral), u);
    if (activate) {
      // One row per position: whole vectors also where D is not a multiple of them.
      const Tensor bias_row = bias.repeat({b});
      slope = at::empty_like(u);
      reference::block_kernels().gelu_forward(n, b * d, values(u), values(bias_row), u.data_ptr<float>(), slope.data_ptr<float>());
    }
    ctx->save_for_backward({rows, spectrum, spectral, weight, slope});
    keep_dft(ctx, dft);
    return u.view({n, b, d});
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const RealDft& dft = kept_dft(ctx);
    const Tensor &rows = saved[0], &spectrum = saved[1], &spectral = saved[2], &weight = saved[3], &slope = saved[4];
    const int64_t n = grads[0].size(0), b = grads[0].size(1), d = grads[0].size(2);
    Tensor g = grads[0].contiguous().view({n, b * d}), sums = at::empty({b, d}, g.options());
    if (slope.defined()) {
      g = g.clone();
      reference::block_kernels().gelu_backward(n, b * d, g.data_ptr<float>(), values(slope), sums.data_ptr<float>());
    } else {
      reference::block_kernels().column_sums(n, b * d, values(g), sums.data_ptr<float>());
    }
    const SpectralGrads ds = mix_modes_backward(dft.field_grad(g), spectrum, spectral);
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
