// Kernels on matrices stored row by row: layer norm, GELU, bias, column sums. Included by block_kernels_impl.h only.
#pragma once

namespace ups::models::reference::UPS_KERNEL_ISA {

// The last, partial vector of a row: absent lanes are zero, or not stored.
inline vf load_n(const float* p, int64_t n) {
  if (n >= V) return load(p);
  vf v{};
  for (int64_t l = 0; l < n; ++l) v[l] = p[l];
  return v;
}
inline void store_n(float* p, vf v, int64_t n) {
  if (n >= V) return store(p, v);
  for (int64_t l = 0; l < n; ++l) p[l] = v[l];
}

void layer_norm_forward(int64_t rows, int64_t width, const float* x, const float* weight, const float* bias, float* y, float* stats) {
  const float n = static_cast<float>(width);
  for (int64_t r = 0; r < rows; ++r, x += width, y += width) {
    vf sum{}, square{};
    for (int64_t c = 0; c < width; c += V) sum += load_n(x + c, width - c);
    const float mean = hsum(sum) / n;
    for (int64_t c = 0; c < width; c += V) {
      vf d = load_n(x + c, width - c) - mean;
      for (int64_t l = width - c; l < V; ++l) d[l] = 0;
      square += d * d;
    }
    const float inv = 1.f / __builtin_sqrtf(hsum(square) / n + 1e-5f);
    stats[2 * r] = mean;
    stats[2 * r + 1] = inv;
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c;
      store_n(y + c, (load_n(x + c, m) - mean) * inv * load_n(weight + c, m) + load_n(bias + c, m), m);
    }
  }
}

void layer_norm_backward(int64_t rows, int64_t width, const float* x, const float* stats, const float* weight, const float* grad_y,
                         const float* residual, float* grad_x, float* grad_weight, float* grad_bias) {
  const float n = static_cast<float>(width);
  for (int64_t c = 0; c < width; ++c) grad_weight[c] = grad_bias[c] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    const float *xr = x + r * width, *gr = grad_y + r * width;
    const float mean = stats[2 * r], inv = stats[2 * r + 1];
    vf s1{}, s2{};
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c;
      const vf g = load_n(gr + c, m), z = (load_n(xr + c, m) - mean) * inv, a = g * load_n(weight + c, m);
      s1 += a;  // padded lanes: weight 0
      s2 += a * z;
      store_n(grad_weight + c, load_n(grad_weight + c, m) + g * z, m);
      store_n(grad_bias + c, load_n(grad_bias + c, m) + g, m);
    }
    const float m1 = hsum(s1) / n, m2 = hsum(s2) / n;
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c;
      const vf z = (load_n(xr + c, m) - mean) * inv, a = load_n(gr + c, m) * load_n(weight + c, m);
      vf d = (a - m1 - z * m2) * inv;
      if (residual) d += load_n(residual + r * width + c, m);
      store_n(grad_x + r * width + c, d, m);
    }
  }
}

void gelu_forward(int64_t rows, int64_t width, const float* u, const float* bias, float* value, float* slope) {
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c, at = r * width + c;
      const vf x = load_n(u + at, m) + load_n(bias + c, m);
      vf phi, density;
      normal_distribution(x, phi, density);
      store_n(value + at, x * phi, m);
      store_n(slope + at, phi + x * density, m);
    }
  }
}

void gelu_backward(int64_t rows, int64_t width, float* grad, const float* slope, float* sums) {
  for (int64_t c = 0; c < width; ++c) sums[c] = 0;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c, at = r * width + c;
      const vf g = load_n(grad + at, m) * load_n(slope + at, m);
      store_n(grad + at, g, m);
      store_n(sums + c, load_n(sums + c, m) + g, m);
    }
  }
}

void add_bias(int64_t rows, int64_t width, const float* x, const float* bias, float* y) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c, at = r * width + c;
      store_n(y + at, load_n(x + at, m) + load_n(bias + c, m), m);
    }
}

void column_sums(int64_t rows, int64_t width, const float* x, float* sums) {
  for (int64_t c = 0; c < width; ++c) sums[c] = 0;
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < width; c += V) {
      const int64_t m = width - c;
      store_n(sums + c, load_n(sums + c, m) + load_n(x + r * width + c, m), m);
    }
}

}  // namespace ups::models::reference::UPS_KERNEL_ISA
