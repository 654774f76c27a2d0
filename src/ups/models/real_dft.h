// Products with the real DFT matrices of a truncated Fourier convolution, folded by symmetry: the cosines and sines of even and odd
// wavenumbers repeat up to sign in each quarter of the period, so four matrices of a quarter of the columns replace one: a quarter
// of the arithmetic, on tiles of columns that stay in the first-level cache.
#pragma once
#include <ATen/core/Tensor.h>

namespace ups::models::fused {

// Rows 2 k and 2 k + 1 of a matrix [2 K, N] are multiples of cos(2 pi k j / N) and sin(2 pi k j / N), k < K <= N / 2.
class FoldedDft {
 public:
  FoldedDft() = default;  // holds nothing: false
  // Stays empty where N is no multiple of 4.
  explicit FoldedDft(const at::Tensor& matrix);
  explicit operator bool() const { return tables_.defined(); }
  // matrix * x: x [N, M] -> [2 K, M], fp32 on a CPU.
  at::Tensor apply(const at::Tensor& x) const;
  // y += matrix^T * spectrum: spectrum [2 K, M], y [N, M].
  void add_transposed(const at::Tensor& spectrum, at::Tensor& y) const;

 private:
  int64_t n_ = 0, k_ = 0;
  at::Tensor tables_;  // a tensor, so that copies share it
};

// The matrices of a 1-D truncated Fourier convolution, whole and folded.
struct RealDft {
  at::Tensor analysis, synthesis;  // [2 K, N], [N, 2 K]
  // Folded matrices of one whole period of N cells; empty ones (the default) leave the work to general products.
  FoldedDft folded_analysis, folded_synthesis;

  at::Tensor spectrum(const at::Tensor& x) const;                        // analysis * x: [N, M] -> [2 K, M]
  void add_field(const at::Tensor& spectrum, at::Tensor& y) const;       // y += synthesis * spectrum
  at::Tensor field_grad(const at::Tensor& g) const;                      // synthesis^T * g
  void add_spectrum_grad(const at::Tensor& g, at::Tensor& dx) const;     // dx += analysis^T * g
};

}  // namespace ups::models::fused
