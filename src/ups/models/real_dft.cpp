#include "ups/models/real_dft.h"

#include <ATen/ATen.h>

#include <cstring>
#include <vector>

#include "ups/models/kernel_clones.h"

namespace ups::models::fused {
namespace {

constexpr int64_t kTile = 32;   // columns per pass
constexpr int64_t kBlock = 4;   // rows of a product whose sums are held in registers
typedef float Lanes __attribute__((vector_size(64), aligned(4), may_alias));
static_assert(kTile * sizeof(float) == 2 * sizeof(Lanes));

// The four folded matrices: cosines of even k, cosines of odd k, sines of even k, sines of odd k; columns first .. first + depth - 1.
struct Part {
  Part(int64_t n, int64_t k, int64_t index)
      : rows(index % 2 == 0 ? (k + 1) / 2 : k / 2), first(index < 2 ? 0 : 1), depth(n / 4 + (index == 0 ? 1 : index == 2 ? -1 : 0)), index_(index) {}
  int64_t rows, first, depth;
  int64_t row(int64_t r) const { return 2 * (2 * r + index_ % 2) + index_ / 2; }  // in the whole matrix
  static int64_t padded(int64_t r) { return (r + kBlock - 1) / kBlock * kBlock; }
  int64_t size() const { return padded(rows) * depth; }               // floats of the matrix
  int64_t transposed_size() const { return padded(depth) * rows; }    // and of its transpose

 private:
  int64_t index_;
};

// out [rows, tile] = a [rows, depth] * f [depth, tile]; a in blocks of kBlock rows, [block][depth][kBlock].
UPS_CLONES void tile_product(const float* a, const float* f, float* out, int64_t rows, int64_t depth) {
  for (int64_t r = 0; r < rows; r += kBlock, a += depth * kBlock) {
    Lanes s[kBlock][2] = {};
    for (int64_t j = 0; j < depth; ++j) {
      const Lanes f0 = *reinterpret_cast<const Lanes*>(f + j * kTile), f1 = *reinterpret_cast<const Lanes*>(f + j * kTile + kTile / 2);
      for (int64_t b = 0; b < kBlock; ++b) {
        s[b][0] += a[j * kBlock + b] * f0;
        s[b][1] += a[j * kBlock + b] * f1;
      }
    }
    for (int64_t b = 0; b < kBlock; ++b) {
      *reinterpret_cast<Lanes*>(out + (r + b) * kTile) = s[b][0];
      *reinterpret_cast<Lanes*>(out + (r + b) * kTile + kTile / 2) = s[b][1];
    }
  }
}

// Rows 0 .. N/4 of the four parts of a tile of x [n, columns]; part p begins at f + p (N/4 + 1) tile.
UPS_CLONES void fold_tile(const float* x, int64_t n, int64_t columns, int64_t width, float* f) {
  const int64_t h = n / 2, q = n / 4, part = (q + 1) * kTile;
  for (int64_t i = 0; i < width; ++i) {
    const float middle = x[q * columns + i], opposite = x[(n - q) * columns + i], start = x[i], half = x[h * columns + i];
    f[i] = start + half;
    f[part + i] = start - half;
    f[q * kTile + i] = middle + opposite;
    f[3 * part + q * kTile + i] = middle - opposite;
  }
  for (int64_t j = 1; j < q; ++j) {
    const float *a = x + j * columns, *b = x + (h - j) * columns, *c = x + (h + j) * columns, *d = x + (n - j) * columns;
    float* out = f + j * kTile;
    for (int64_t i = 0; i < width; ++i) {
      const float e = a[i] + d[i], o = a[i] - d[i], e2 = b[i] + c[i], o2 = b[i] - c[i];
      out[i] = e + e2;
      out[part + i] = e - e2;
      out[2 * part + i] = o - o2;
      out[3 * part + i] = o + o2;
    }
  }
}

// The transpose of fold_tile, added to y.
UPS_CLONES void unfold_tile(const float* f, int64_t n, int64_t columns, int64_t width, float* y) {
  const int64_t h = n / 2, q = n / 4, part = (q + 1) * kTile;
  for (int64_t i = 0; i < width; ++i) {
    y[i] += f[i] + f[part + i];
    y[h * columns + i] += f[i] - f[part + i];
    y[q * columns + i] += f[q * kTile + i] + f[3 * part + q * kTile + i];
    y[(n - q) * columns + i] += f[q * kTile + i] - f[3 * part + q * kTile + i];
  }
  for (int64_t j = 1; j < q; ++j) {
    float *a = y + j * columns, *b = y + (h - j) * columns, *c = y + (h + j) * columns, *d = y + (n - j) * columns;
    const float* in = f + j * kTile;
    for (int64_t i = 0; i < width; ++i) {
      const float ce = in[i], co = in[part + i], se = in[2 * part + i], so = in[3 * part + i];
      const float even = ce + co, odd = ce - co, up = se + so, down = so - se;
      a[i] += even + up;
      d[i] += even - up;
      b[i] += odd + down;
      c[i] += odd - down;
    }
  }
}

}  // namespace

FoldedDft::FoldedDft(const at::Tensor& matrix) {
  const int64_t n = matrix.size(1), k = matrix.size(0) / 2;
  if (n % 4 != 0) return;
  n_ = n;
  k_ = k;
  std::vector<float> packed;
  const at::Tensor m = matrix.to(at::kFloat).contiguous();
  const float* values = m.const_data_ptr<float>();
  const auto pack = [&](int64_t rows, int64_t depth, auto&& at) {
    for (int64_t r = 0; r < Part::padded(rows); r += kBlock)
      for (int64_t j = 0; j < depth; ++j)
        for (int64_t b = r; b < r + kBlock; ++b) packed.push_back(b < rows ? at(b, j) : 0.0f);
  };
  for (int64_t p = 0; p < 4; ++p) {
    const Part part(n, k, p);
    const auto at = [&](int64_t r, int64_t j) { return values[part.row(r) * n + part.first + j]; };
    pack(part.rows, part.depth, at);
    pack(part.depth, part.rows, [&](int64_t j, int64_t r) { return at(r, j); });
  }
  tables_ = at::tensor(packed, at::kFloat);
}

at::Tensor FoldedDft::apply(const at::Tensor& x) const {
  const int64_t columns = x.size(1), quarter = (n_ / 4 + 1) * kTile;
  at::Tensor spectrum = at::empty({2 * k_, columns}, x.options());
  std::vector<float> folded(static_cast<size_t>(4 * quarter)), out(static_cast<size_t>(Part::padded(k_) * kTile));
  const at::Tensor in = x.contiguous();
  for (int64_t c = 0; c < columns; c += kTile) {
    const int64_t width = std::min(kTile, columns - c);
    fold_tile(in.const_data_ptr<float>() + c, n_, columns, width, folded.data());
    const float* a = tables_.const_data_ptr<float>();
    for (int64_t p = 0; p < 4; ++p) {
      const Part part(n_, k_, p);
      tile_product(a, folded.data() + p * quarter + part.first * kTile, out.data(), Part::padded(part.rows), part.depth);
      for (int64_t r = 0; r < part.rows; ++r)
        std::memcpy(spectrum.data_ptr<float>() + part.row(r) * columns + c, out.data() + r * kTile, static_cast<size_t>(width) * sizeof(float));
      a += part.size() + part.transposed_size();
    }
  }
  return spectrum;
}

void FoldedDft::add_transposed(const at::Tensor& spectrum, at::Tensor& y) const {
  const int64_t columns = y.size(1), quarter = (n_ / 4 + 1) * kTile;
  // kBlock rows more: products write whole blocks, and each part overwrites the excess of the one before it.
  std::vector<float> folded(static_cast<size_t>(4 * quarter + kBlock * kTile)), in(static_cast<size_t>(k_ * kTile + kTile));
  for (int64_t c = 0; c < columns; c += kTile) {
    const int64_t width = std::min(kTile, columns - c);
    const float* a = tables_.const_data_ptr<float>();
    for (int64_t p = 0; p < 4; ++p) {
      const Part part(n_, k_, p);
      for (int64_t r = 0; r < part.rows; ++r)
        std::memcpy(in.data() + r * kTile, spectrum.const_data_ptr<float>() + part.row(r) * columns + c, static_cast<size_t>(width) * sizeof(float));
      a += part.size();
      tile_product(a, in.data(), folded.data() + p * quarter + part.first * kTile, Part::padded(part.depth), part.rows);
      a += part.transposed_size();
    }
    unfold_tile(folded.data(), n_, columns, width, y.data_ptr<float>() + c);
  }
}

at::Tensor RealDft::spectrum(const at::Tensor& x) const { return folded_analysis ? folded_analysis.apply(x) : at::mm(analysis, x); }

void RealDft::add_field(const at::Tensor& spectrum, at::Tensor& y) const {
  if (folded_synthesis) folded_synthesis.add_transposed(spectrum, y);
  else y.addmm_(synthesis, spectrum);
}

at::Tensor RealDft::field_grad(const at::Tensor& g) const { return folded_synthesis ? folded_synthesis.apply(g) : at::mm(synthesis.t(), g); }

void RealDft::add_spectrum_grad(const at::Tensor& g, at::Tensor& dx) const {
  if (folded_analysis) folded_analysis.add_transposed(g, dx);
  else dx.addmm_(analysis.t(), g);
}

}  // namespace ups::models::fused
