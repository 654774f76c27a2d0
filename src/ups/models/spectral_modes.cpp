#include "ups/models/spectral_modes.h"

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include "ups/models/kernel_clones.h"

namespace ups::models::fused {

using at::Tensor;
using torch::autograd::AutogradContext;

namespace {

const float* spectral_values(const Tensor& t) { return t.const_data_ptr<float>(); }

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

// A context keeps tensors and IValues, and a capsule is the IValue for everything else.
struct Matrices : torch::CustomClassHolder {
  explicit Matrices(RealDft d) : dft(std::move(d)) {}
  RealDft dft;
};

}  // namespace

Tensor mix_modes(const Tensor& spectrum, const Tensor& spectral) {
  const int64_t k = spectral.size(0), d = spectral.size(1), b = spectrum.size(1) / d;
  Tensor y = at::empty_like(spectrum);
  modes_forward(spectral_values(spectrum), spectral_values(spectral), y.data_ptr<float>(), k, b, d);
  return y;
}
SpectralGrads mix_modes_backward(const Tensor& g, const Tensor& spectrum, const Tensor& spectral) {
  const int64_t k = spectral.size(0), d = spectral.size(1), b = spectrum.size(1) / d;
  SpectralGrads out{at::empty_like(spectrum), at::empty_like(spectral)};
  Tensor scratch = at::empty({2 * d, d}, g.options());
  modes_backward(spectral_values(g), spectral_values(spectrum), spectral_values(spectral), out.input.data_ptr<float>(), out.spectral.data_ptr<float>(),
                 scratch.data_ptr<float>(), k, b, d);
  return out;
}

void keep_dft(AutogradContext* ctx, const RealDft& dft) { ctx->saved_data["dft"] = c10::IValue::make_capsule(c10::make_intrusive<Matrices>(dft)); }
const RealDft& kept_dft(AutogradContext* ctx) {
  return static_cast<Matrices*>(ctx->saved_data["dft"].toCapsule().get())->dft;
}

}  // namespace ups::models::fused
