// Group attention on transposed tiles, forward and backward. Included by block_kernels_impl.h only. Layout and names:
//   tile      [rows][tp] floats, tp = tokens rounded up to whole vectors; padded tokens are never keys and have zero gradients
//   y, yhat   features of one group after the layer norm; y / rms(y)
//   q = Wq diag(gq) yhat + bq, k likewise, v = Wv y + bv: the RMS norms' weights are folded into the projections
#pragma once

namespace ups::models::reference::UPS_KERNEL_ISA {

// out[o] = bias[o] + add[o] + sum_i w[o*k + i] in[i]; tiles of `rows` and k rows. bias and add may be null; out may be add.
template <int OB, int TB>
inline void project_block(int64_t k, const float* w, const float* bias, const float* in, float* out, const float* add, int64_t tp) {
  vf acc[OB][TB];
  for (int o = 0; o < OB; ++o)
    for (int t = 0; t < TB; ++t) {
      acc[o][t] = bias ? splat(bias[o]) : vf{};
      if (add) acc[o][t] += load(add + o * tp + t * V);
    }
  for (int64_t i = 0; i < k; ++i) {
    vf x[TB];
    for (int t = 0; t < TB; ++t) x[t] = load(in + i * tp + t * V);
    for (int o = 0; o < OB; ++o)
      for (int t = 0; t < TB; ++t) acc[o][t] += x[t] * w[o * k + i];
  }
  for (int o = 0; o < OB; ++o)
    for (int t = 0; t < TB; ++t) store(out + o * tp + t * V, acc[o][t]);
}

template <int TB>
inline void project_columns(int64_t rows, int64_t k, const float* w, const float* bias, const float* in, float* out, const float* add,
                            int64_t tp) {
  int64_t o = 0;
  for (; o + 4 <= rows; o += 4)
    project_block<4, TB>(k, w + o * k, bias ? bias + o : nullptr, in, out + o * tp, add ? add + o * tp : nullptr, tp);
  for (; o < rows; ++o)
    project_block<1, TB>(k, w + o * k, bias ? bias + o : nullptr, in, out + o * tp, add ? add + o * tp : nullptr, tp);
}

inline void project(int64_t rows, int64_t k, const float* w, const float* bias, const float* in, float* out, const float* add,
                    int64_t tp) {
  int64_t t = 0;
  for (; t + 2 * V <= tp; t += 2 * V) project_columns<2>(rows, k, w, bias, in + t, out + t, add ? add + t : nullptr, tp);
  for (; t < tp; t += V) project_columns<1>(rows, k, w, bias, in + t, out + t, add ? add + t : nullptr, tp);
}

// acc[(o*k + i)*V ..] += lane-wise sum over tokens of a[o] * b[i]: weight gradients, reduced over lanes once at the end.
template <int OB, int IB>
inline void outer_block(int64_t k, const float* a, const float* b, float* acc, int64_t tp) {
  vf s[OB][IB];
  for (int o = 0; o < OB; ++o)
    for (int i = 0; i < IB; ++i) s[o][i] = load(acc + (o * k + i) * V);
  for (int64_t t = 0; t < tp; t += V) {
    vf x[IB];
    for (int i = 0; i < IB; ++i) x[i] = load(b + i * tp + t);
    for (int o = 0; o < OB; ++o) {
      const vf g = load(a + o * tp + t);
      for (int i = 0; i < IB; ++i) s[o][i] += g * x[i];
    }
  }
  for (int o = 0; o < OB; ++o)
    for (int i = 0; i < IB; ++i) store(acc + (o * k + i) * V, s[o][i]);
}

inline void outer_accumulate(int64_t rows, int64_t k, const float* a, const float* b, float* acc, int64_t tp) {
  constexpr int kRows = UPS_KERNEL_BYTES == 64 ? 4 : 2;
  for (int64_t o = 0; o < rows;) {
    const bool full = o + kRows <= rows;
    for (int64_t i = 0; i < k;) {
      const bool wide = i + 4 <= k;
      float* to = acc + (o * k + i) * V;
      if (full && wide) outer_block<kRows, 4>(k, a + o * tp, b + i * tp, to, tp);
      else if (full) outer_block<kRows, 1>(k, a + o * tp, b + i * tp, to, tp);
      else if (wide) outer_block<1, 4>(k, a + o * tp, b + i * tp, to, tp);
      else outer_block<1, 1>(k, a + o * tp, b + i * tp, to, tp);
      i += wide ? 4 : 1;
    }
    o += full ? kRows : 1;
  }
}

// acc[o*V ..] += lane-wise sum over tokens of a[o]: bias gradients.
inline void row_accumulate(int64_t rows, const float* a, float* acc, int64_t tp) {
  for (int64_t o = 0; o < rows; ++o) {
    vf s = load(acc + o * V);
    for (int64_t t = 0; t < tp; t += V) s += load(a + o * tp + t);
    store(acc + o * V, s);
  }
}

// yhat = y / rms(y) over the rows; inv_rms [tp].
inline void rms_normalise(int64_t rows, const float* y, float* yhat, float* inv_rms, int64_t tp) {
  for (int64_t t = 0; t < tp; t += V) {
    vf s{};
    for (int64_t i = 0; i < rows; ++i) s += load(y + i * tp + t) * load(y + i * tp + t);
    const vf r = 1.f / vsqrt(s / static_cast<float>(rows) + 1e-6f);
    store(inv_rms + t, r);
    for (int64_t i = 0; i < rows; ++i) store(yhat + i * tp + t, load(y + i * tp + t) * r);
  }
}

constexpr int kMaxHeadDim = 64;

// One head: o = softmax(scale q k^T) v for all queries; q, k, v, o tiles of hd rows. HD 0: any head size up to kMaxHeadDim.
template <int HD>
inline void head_forward(int hd_any, int64_t tokens, int64_t tp, float scale, const float* q, const float* k, const float* v, float* o,
                         float* max_score, float* inv_sum, float* scores) {
  const int hd = HD ? HD : hd_any;
  for (int64_t t = 0; t < tp; t += V) {
    vf query[HD ? HD : kMaxHeadDim], sum_v[HD ? HD : kMaxHeadDim];
    for (int d = 0; d < hd; ++d) query[d] = load(q + d * tp + t) * scale;
    vf m = splat(-3e38f);
    for (int64_t j = 0; j < tokens; ++j) {
      vf s = query[0] * k[j];
      for (int d = 1; d < hd; ++d) s += query[d] * k[d * tp + j];
      store(scores + j * V, s);
      m = vmax(m, s);
    }
    vf sum{};
    for (int d = 0; d < hd; ++d) sum_v[d] = vf{};
    for (int64_t j = 0; j < tokens; ++j) {
      const vf p = vexp(load(scores + j * V) - m);
      sum += p;
      for (int d = 0; d < hd; ++d) sum_v[d] += p * v[d * tp + j];
    }
    const vf inv = 1.f / sum;
    for (int d = 0; d < hd; ++d) store(o + d * tp + t, sum_v[d] * inv);
    store(max_score + t, m);
    store(inv_sum + t, inv);
  }
}

// Gradients of one head from grad_o; dq, dk, dv are written. sums: 2*hd*tp vectors of scratch.
template <int HD>
inline void head_backward(int hd_any, int64_t tokens, int64_t tp, float scale, const float* q, const float* k, const float* v,
                          const float* o, const float* max_score, const float* inv_sum, const float* grad_o, float* dq, float* dk,
                          float* dv, float* sums) {
  const int hd = HD ? HD : hd_any;
  for (int64_t i = 0; i < 2 * hd * tp; ++i) store(sums + i * V, vf{});
  float *sums_k = sums, *sums_v = sums + hd * tp * V;
  for (int64_t t = 0; t < tp; t += V) {
    vf query[HD ? HD : kMaxHeadDim], grad[HD ? HD : kMaxHeadDim], dquery[HD ? HD : kMaxHeadDim];
    vf delta{};
    for (int d = 0; d < hd; ++d) {
      query[d] = load(q + d * tp + t) * scale;
      grad[d] = load(grad_o + d * tp + t);
      dquery[d] = vf{};
      delta += grad[d] * load(o + d * tp + t);
    }
    const vf m = load(max_score + t), inv = load(inv_sum + t);
    for (int64_t j = 0; j < tokens; ++j) {
      vf s = query[0] * k[j], dp = grad[0] * v[j];
      for (int d = 1; d < hd; ++d) {
        s += query[d] * k[d * tp + j];
        dp += grad[d] * v[d * tp + j];
      }
      const vf p = vexp(s - m) * inv, ds = p * (dp - delta);
      for (int d = 0; d < hd; ++d) {
        dquery[d] += ds * k[d * tp + j];
        float *to_k = sums_k + (d * tp + j) * V, *to_v = sums_v + (d * tp + j) * V;
        store(to_k, load(to_k) + ds * query[d]);
        store(to_v, load(to_v) + p * grad[d]);
      }
    }
    for (int d = 0; d < hd; ++d) store(dq + d * tp + t, dquery[d] * scale);
  }
  for (int d = 0; d < hd; ++d) {
    for (int64_t j = 0; j < tp; j += V) {
      vf part[V];
      for (int64_t l = 0; l < V; ++l) part[l] = load(sums_k + (d * tp + j + l) * V);
      store(dk + d * tp + j, sum_lanes(part));
      for (int64_t l = 0; l < V; ++l) part[l] = load(sums_v + (d * tp + j + l) * V);
      store(dv + d * tp + j, sum_lanes(part));
    }
  }
}

}  // namespace ups::models::reference::UPS_KERNEL_ISA
