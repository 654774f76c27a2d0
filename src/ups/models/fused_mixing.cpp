#include "ups/models/fused_mixing.h"

#include <ATen/ATen.h>

#include "ups/models/reference/block_kernels.h"
#include "ups/models/spectral_modes.h"

namespace ups::models::fused {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// y(i) += x(i + step) W^T with wrapping or repeated ends, and its two gradients; rows of [N, B, D] as [N B, D].
struct NeighbourTap {
  int64_t n, b, step;  // step -1 or +1
  bool periodic;
  // Rows of y whose neighbour is inside, that neighbour's rows, and the one row of y left over with the row it reads.
  Tensor targets(const Tensor& y) const { return y.narrow(0, step < 0 ? b : 0, (n - 1) * b); }
  Tensor sources(const Tensor& x) const { return x.narrow(0, step < 0 ? 0 : b, (n - 1) * b); }
  Tensor end(const Tensor& y) const { return y.narrow(0, step < 0 ? 0 : (n - 1) * b, b); }
  Tensor end_source(const Tensor& x) const { return x.narrow(0, (step < 0) == periodic ? (n - 1) * b : 0, b); }

  void add(const Tensor& x, const Tensor& w, const Tensor& y) const {
    targets(y).addmm_(sources(x), w.t());
    end(y).addmm_(end_source(x), w.t());
  }
  void add_gradients(const Tensor& g, const Tensor& x, const Tensor& w, const Tensor& dx, const Tensor& dw) const {
    sources(dx).addmm_(targets(g), w);
    end_source(dx).addmm_(end(g), w);
    dw.copy_(at::mm(targets(g).t(), sources(x)).addmm_(end(g).t(), end_source(x)));
  }
};

struct MixingLayer1d : torch::autograd::Function<MixingLayer1d> {
  // An input of a Function may be absent, but not an undefined tensor.
  using Maybe = std::optional<Tensor>;

  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Maybe& other_in, const Tensor& conv_weight, const Tensor& conv_bias,
                        const Maybe& spectral_in, const Maybe& value_weight_in, const Maybe& value_bias_in,
                        const Maybe& displacement_weight_in, const Maybe& displacement_bias_in, const MixingBranches& branches) {
    const auto tensor = [](const Maybe& m) { return m.value_or(Tensor()); };
    const Tensor other = tensor(other_in), spectral = tensor(spectral_in), value_weight = tensor(value_weight_in), value_bias = tensor(value_bias_in),
                 displacement_weight = tensor(displacement_weight_in), displacement_bias = tensor(displacement_bias_in);
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2);
    const bool periodic = branches.grid.periodic[0];
    const Tensor rows = x.view({n * b, d}), flat = x.view({n, b * d});
    Tensor u = at::mm(rows, conv_weight.narrow(1, d, d).t()), spectrum, value, displacement;
    NeighbourTap{n, b, -1, periodic}.add(rows, conv_weight.narrow(1, 0, d), u);
    NeighbourTap{n, b, +1, periodic}.add(rows, conv_weight.narrow(1, 2 * d, d), u);
    u = u.view({n, b * d});
    if (spectral.defined()) {
      spectrum = branches.dft->spectrum(flat);
      branches.dft->add_field(mix_modes(spectrum, spectral), u);
      keep_dft(ctx, *branches.dft);
    }
    if (value_weight.defined()) {
      value = at::addmm(value_bias, rows, value_weight.t()).view({n, b, d});
      displacement = at::addmm(displacement_bias, rows, displacement_weight.t()).view({n, b, -1});
      Lookup(value, displacement, branches.grid, branches.reach).add(value, displacement, u);
    }
    if (other.defined()) u.add_(other.view({n, b * d}));
    Tensor slope = at::empty_like(u);
    const Tensor bias = conv_bias.repeat({b});
    reference::block_kernels().gelu_forward(n, b * d, u.const_data_ptr<float>(), bias.const_data_ptr<float>(), u.data_ptr<float>(), slope.data_ptr<float>());
    ctx->save_for_backward({x, slope, conv_weight, spectrum, spectral, value, value_weight, displacement, displacement_weight});
    ctx->saved_data["periodic"] = periodic;
    ctx->saved_data["other"] = other.defined();
    ctx->saved_data["reach"] = branches.reach;
    return u.add_(flat).view({n, b, d});
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &slope = saved[1], &conv_weight = saved[2], &spectrum = saved[3], &spectral = saved[4], &value = saved[5],
                 &value_weight = saved[6], &displacement = saved[7], &displacement_weight = saved[8];
    const int64_t n = x.size(0), b = x.size(1), d = x.size(2);
    const bool periodic = ctx->saved_data["periodic"].toBool();
    const Tensor rows = x.view({n * b, d}), g = grads[0].contiguous();
    Tensor dx = g.clone().view({n * b, d}), du = g.clone().view({n, b * d}), bias_sums = at::empty({b, d}, g.options());
    reference::block_kernels().gelu_backward(n, b * d, du.data_ptr<float>(), slope.const_data_ptr<float>(), bias_sums.data_ptr<float>());
    const Tensor du_rows = du.view({n * b, d});
    variable_list out(10);  // one per input of forward
    out[2] = at::empty_like(conv_weight);
    out[2].narrow(1, d, d).copy_(at::mm(du_rows.t(), rows));
    dx.addmm_(du_rows, conv_weight.narrow(1, d, d));
    NeighbourTap{n, b, -1, periodic}.add_gradients(du_rows, rows, conv_weight.narrow(1, 0, d), dx, out[2].narrow(1, 0, d));
    NeighbourTap{n, b, +1, periodic}.add_gradients(du_rows, rows, conv_weight.narrow(1, 2 * d, d), dx, out[2].narrow(1, 2 * d, d));
    out[3] = bias_sums.sum(0);
    if (spectral.defined()) {
      const RealDft& dft = kept_dft(ctx);
      const SpectralGrads s = mix_modes_backward(dft.field_grad(du), spectrum, spectral);
      Tensor dx_flat = dx.view({n, b * d});
      dft.add_spectrum_grad(s.input, dx_flat);
      out[4] = s.spectral;
    }
    if (value_weight.defined()) {
      Tensor dv = at::zeros_like(value), dd = at::empty_like(displacement);
      const TokenGrid grid{{n}, {periodic}};
      Lookup(value, displacement, grid, ctx->saved_data["reach"].toDouble()).add_gradients(value, displacement, du, dv, dd);
      const Tensor dv_rows = dv.view({n * b, d}), dd_rows = dd.view({n * b, -1});
      dx.addmm_(dv_rows, value_weight).addmm_(dd_rows, displacement_weight);
      out[5] = at::mm(dv_rows.t(), rows);
      out[6] = dv_rows.sum(0);
      out[7] = at::mm(dd_rows.t(), rows);
      out[8] = dd_rows.sum(0);
    }
    out[0] = dx.view({n, b, d});
    if (ctx->saved_data["other"].toBool()) out[1] = du.view({n, b, d});
    return out;
  }
};

}  // namespace

Tensor mixing_layer1d(const Tensor& x, const MixingBranches& w, const Tensor& other) {
  const auto maybe = [](const Tensor& t) { return t.defined() ? std::optional(t) : std::nullopt; };
  return MixingLayer1d::apply(x.contiguous(), maybe(other.defined() ? other.contiguous() : other), w.conv_weight, w.conv_bias, maybe(w.spectral),
                              maybe(w.value_weight), maybe(w.value_bias), maybe(w.displacement_weight), maybe(w.displacement_bias), w);
}

}  // namespace ups::models::fused
