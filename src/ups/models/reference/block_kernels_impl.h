// Implementation of block_kernels.h for one instruction set. The including file defines UPS_KERNEL_ISA (namespace) and
// UPS_KERNEL_BYTES (vector size) and is compiled with the matching flags. No standard library header may appear here or below: its
// inline functions would be compiled with those flags too, and the linker could keep that copy for all callers.
#pragma once
#include "ups/models/reference/block_kernels.h"
#include "ups/models/reference/block_kernels_vec.h"
#include "ups/models/reference/block_kernels_attention.h"
#include "ups/models/reference/block_kernels_rows.h"

namespace ups::models::reference::UPS_KERNEL_ISA {

inline int64_t padded(int64_t tokens) { return (tokens + V - 1) / V * V; }

int64_t saved_floats(const AttentionShape& s) {  // per group: q, k, v, o tiles, maxima and inverse sums of each head
  return s.batch * (s.width / s.group) * (4 * s.group + 2 * s.heads) * padded(s.tokens);
}

int64_t scratch_floats(const AttentionShape& s) {
  const int64_t tp = padded(s.tokens), g = s.group, h = s.width, hd = g / s.heads;
  return 5 * h * tp + 9 * g * tp + 4 * tp + tp * V + 2 * hd * tp * V + 6 * g * g + (4 * g * g + 4 * g + 2 * h) * V;
}

// Hands out consecutive parts of the scratch memory.
struct Arena {
  float* next;
  float* take(int64_t n) {
    float* p = next;
    next += n;
    return p;
  }
};

// [tokens][width] -> [width][tp], padded tokens 0, and back.
inline void transpose_in(int64_t tokens, int64_t width, const float* x, float* xt, int64_t tp) {
  for (int64_t c = 0; c < width; ++c) {
    for (int64_t t = 0; t < tokens; ++t) xt[c * tp + t] = x[t * width + c];
    for (int64_t t = tokens; t < tp; ++t) xt[c * tp + t] = 0;
  }
}
inline void transpose_out(int64_t tokens, int64_t width, const float* xt, float* x, int64_t tp) {
  for (int64_t t = 0; t < tokens; ++t)
    for (int64_t c = 0; c < width; ++c) x[t * width + c] = xt[c * tp + t];
}

// xhat = (x - mean)/std over the features, h = xhat * weight + bias; tiles [width][tp], inv_std [tp].
inline void norm_tile(int64_t width, const float* xt, const float* weight, const float* bias, float* xhat, float* h, float* inv_std,
                      int64_t tp) {
  const float n = static_cast<float>(width);
  for (int64_t t = 0; t < tp; t += V) {
    vf sum{}, square{};
    for (int64_t c = 0; c < width; ++c) sum += load(xt + c * tp + t);
    const vf mean = sum / n;
    for (int64_t c = 0; c < width; ++c) {
      const vf d = load(xt + c * tp + t) - mean;
      square += d * d;
    }
    const vf r = 1.f / vsqrt(square / n + 1e-5f);
    store(inv_std + t, r);
    for (int64_t c = 0; c < width; ++c) {
      const vf d = (load(xt + c * tp + t) - mean) * r;
      store(xhat + c * tp + t, d);
      store(h + c * tp + t, d * weight[c] + bias[c]);
    }
  }
}

// to[o,i] = w[o,i] * gain[i]; gain may be null. transposed: to[i,o].
inline void scaled_weight(int64_t g, const float* w, const float* gain, float* to, bool transposed) {
  for (int64_t o = 0; o < g; ++o)
    for (int64_t i = 0; i < g; ++i) to[transposed ? i * g + o : o * g + i] = w[o * g + i] * (gain ? gain[i] : 1.f);
}

struct GroupSaved {
  float *q, *k, *v, *o, *max_score, *inv_sum;
  GroupSaved(float* p, int64_t g, int64_t heads, int64_t tp)
      : q(p), k(p + g * tp), v(p + 2 * g * tp), o(p + 3 * g * tp), max_score(p + 4 * g * tp), inv_sum(p + (4 * g + heads) * tp) {}
};

inline float attention_scale(int64_t head_dim) { return 1.f / __builtin_sqrtf(static_cast<float>(head_dim)); }

void attention_forward(const AttentionShape& s, const float* x, const AttentionTensors<const float>& w, float* out, float* saved,
                       float* scratch) {
  const int64_t tp = padded(s.tokens), g = s.group, hd = g / s.heads, groups = s.width / g, h = s.width;
  Arena arena{scratch};
  float *xt = arena.take(h * tp), *xhat = arena.take(h * tp), *ht = arena.take(h * tp), *yhat = arena.take(g * tp);
  float *inv = arena.take(tp), *scores = arena.take(tp * V), *wq = arena.take(g * g), *wk = arena.take(g * g);
  scaled_weight(g, w.q_weight, w.q_norm, wq, false);
  scaled_weight(g, w.k_weight, w.k_norm, wk, false);
  const float scale = attention_scale(hd);
  for (int64_t b = 0; b < s.batch; ++b) {
    transpose_in(s.tokens, h, x + b * s.tokens * h, xt, tp);
    norm_tile(h, xt, w.norm_weight, w.norm_bias, xhat, ht, inv, tp);
    for (int64_t n = 0; n < groups; ++n) {
      GroupSaved t(saved + (b * groups + n) * (4 * g + 2 * s.heads) * tp, g, s.heads, tp);
      const float* y = ht + n * g * tp;
      rms_normalise(g, y, yhat, inv, tp);
      project(g, g, wq, w.q_bias, yhat, t.q, nullptr, tp);
      project(g, g, wk, w.k_bias, yhat, t.k, nullptr, tp);
      project(g, g, w.v_weight, w.v_bias, y, t.v, nullptr, tp);
      for (int64_t i = 0; i < s.heads; ++i) {
        const int64_t at = i * hd * tp;
        const auto f = hd == 2 ? head_forward<2> : hd == 1 ? head_forward<1> : hd == 4 ? head_forward<4> : head_forward<0>;
        f(static_cast<int>(hd), s.tokens, tp, scale, t.q + at, t.k + at, t.v + at, t.o + at, t.max_score + i * tp,
          t.inv_sum + i * tp, scores);
      }
      float* rows = xt + n * g * tp;
      project(g, g, w.out_weight, w.out_bias, t.o, rows, rows, tp);
    }
    transpose_out(s.tokens, h, xt, out + b * s.tokens * h, tp);
  }
}

// grad_x of the layer norm plus the residual gradient, and the lane-wise sums for weight and bias; all tiles [width][tp].
inline void norm_tile_backward(int64_t width, const float* dh, const float* xhat, const float* weight, const float* inv_std,
                               float* grad, float* sum_weight, float* sum_bias, int64_t tp) {
  const float n = static_cast<float>(width);
  for (int64_t t = 0; t < tp; t += V) {
    vf s1{}, s2{};
    for (int64_t c = 0; c < width; ++c) {
      const vf d = load(dh + c * tp + t), z = load(xhat + c * tp + t), a = d * weight[c];
      s1 += a;
      s2 += a * z;
      store(sum_weight + c * V, load(sum_weight + c * V) + d * z);
      store(sum_bias + c * V, load(sum_bias + c * V) + d);
    }
    s1 /= n;
    s2 /= n;
    const vf r = load(inv_std + t);
    for (int64_t c = 0; c < width; ++c) {
      const vf a = load(dh + c * tp + t) * weight[c];
      store(grad + c * tp + t, load(grad + c * tp + t) + r * (a - s1 - load(xhat + c * tp + t) * s2));
    }
  }
}

inline void reduce_lanes(int64_t n, const float* acc, float* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = hsum(load(acc + i * V));
}

void attention_backward(const AttentionShape& s, const float* x, const AttentionTensors<const float>& w, const float* saved,
                        const float* grad_out, float* grad_x, const AttentionTensors<float>& grads, float* scratch) {
  const int64_t tp = padded(s.tokens), g = s.group, hd = g / s.heads, groups = s.width / g, h = s.width, gg = g * g;
  Arena arena{scratch};
  float *xt = arena.take(h * tp), *xhat = arena.take(h * tp), *ht = arena.take(h * tp), *dt = arena.take(h * tp), *dh = arena.take(h * tp);
  float *yhat = arena.take(g * tp), *grad_o = arena.take(g * tp), *dq = arena.take(g * tp), *dk = arena.take(g * tp);
  float *dv = arena.take(g * tp), *dyhat = arena.take(g * tp), *inv_std = arena.take(tp), *inv_rms = arena.take(tp);
  float *sums = arena.take(2 * hd * tp * V), *wq = arena.take(gg), *wk = arena.take(gg), *wv = arena.take(gg), *wo = arena.take(gg);
  float *sum_q = arena.take(gg * V), *sum_k = arena.take(gg * V), *sum_v = arena.take(gg * V), *sum_o = arena.take(gg * V);
  float *sum_bias = arena.take(4 * g * V), *sum_norm = arena.take(2 * h * V);
  for (float* p = sum_q; p < sum_norm + 2 * h * V; ++p) *p = 0;
  scaled_weight(g, w.q_weight, w.q_norm, wq, true);
  scaled_weight(g, w.k_weight, w.k_norm, wk, true);
  scaled_weight(g, w.v_weight, nullptr, wv, true);
  scaled_weight(g, w.out_weight, nullptr, wo, true);
  const float scale = attention_scale(hd);
  for (int64_t b = 0; b < s.batch; ++b) {
    transpose_in(s.tokens, h, x + b * s.tokens * h, xt, tp);
    transpose_in(s.tokens, h, grad_out + b * s.tokens * h, dt, tp);
    norm_tile(h, xt, w.norm_weight, w.norm_bias, xhat, ht, inv_std, tp);
    for (int64_t n = 0; n < groups; ++n) {
      const GroupSaved t(const_cast<float*>(saved) + (b * groups + n) * (4 * g + 2 * s.heads) * tp, g, s.heads, tp);
      const float *y = ht + n * g * tp, *d_out = dt + n * g * tp;
      rms_normalise(g, y, yhat, inv_rms, tp);
      outer_accumulate(g, g, d_out, t.o, sum_o, tp);
      project(g, g, wo, nullptr, d_out, grad_o, nullptr, tp);
      for (int64_t i = 0; i < s.heads; ++i) {
        const int64_t at = i * hd * tp;
        const auto f = hd == 2 ? head_backward<2> : hd == 1 ? head_backward<1> : hd == 4 ? head_backward<4> : head_backward<0>;
        f(static_cast<int>(hd), s.tokens, tp, scale, t.q + at, t.k + at, t.v + at, t.o + at, t.max_score + i * tp,
          t.inv_sum + i * tp, grad_o + at, dq + at, dk + at, dv + at, sums);
      }
      outer_accumulate(g, g, dq, yhat, sum_q, tp);
      outer_accumulate(g, g, dk, yhat, sum_k, tp);
      outer_accumulate(g, g, dv, y, sum_v, tp);
      row_accumulate(g, dq, sum_bias, tp);
      row_accumulate(g, dk, sum_bias + g * V, tp);
      row_accumulate(g, dv, sum_bias + 2 * g * V, tp);
      row_accumulate(g, d_out, sum_bias + 3 * g * V, tp);
      project(g, g, wq, nullptr, dq, dyhat, nullptr, tp);
      project(g, g, wk, nullptr, dk, dyhat, dyhat, tp);
      float* dy = dh + n * g * tp;
      for (int64_t c = 0; c < tp; c += V) {  // through the RMS norm: dy = r (dyhat - yhat mean(dyhat yhat))
        vf m{};
        for (int64_t i = 0; i < g; ++i) m += load(dyhat + i * tp + c) * load(yhat + i * tp + c);
        m /= static_cast<float>(g);
        const vf r = load(inv_rms + c);
        for (int64_t i = 0; i < g; ++i) store(dy + i * tp + c, r * (load(dyhat + i * tp + c) - load(yhat + i * tp + c) * m));
      }
      project(g, g, wv, nullptr, dv, dy, dy, tp);
    }
    norm_tile_backward(h, dh, xhat, w.norm_weight, inv_std, dt, sum_norm, sum_norm + h * V, tp);
    transpose_out(s.tokens, h, dt, grad_x + b * s.tokens * h, tp);
  }
  reduce_lanes(gg, sum_q, grads.q_weight);
  reduce_lanes(gg, sum_k, grads.k_weight);
  reduce_lanes(gg, sum_v, grads.v_weight);
  reduce_lanes(gg, sum_o, grads.out_weight);
  reduce_lanes(g, sum_bias, grads.q_bias);
  reduce_lanes(g, sum_bias + g * V, grads.k_bias);
  reduce_lanes(g, sum_bias + 2 * g * V, grads.v_bias);
  reduce_lanes(g, sum_bias + 3 * g * V, grads.out_bias);
  reduce_lanes(h, sum_norm, grads.norm_weight);
  reduce_lanes(h, sum_norm + h * V, grads.norm_bias);
  // So far d/d(W diag(gain)): unfold the gain.
  const auto unfold = [g](const float* weight, const float* gain, float* grad_weight, float* grad_gain) {
    for (int64_t i = 0; i < g; ++i) {
      grad_gain[i] = 0;
      for (int64_t o = 0; o < g; ++o) {
        grad_gain[i] += weight[o * g + i] * grad_weight[o * g + i];
        grad_weight[o * g + i] *= gain[i];
      }
    }
  };
  unfold(w.q_weight, w.q_norm, grads.q_weight, grads.q_norm);
  unfold(w.k_weight, w.k_norm, grads.k_weight, grads.k_norm);
}

const BlockKernels& kernels() {
  static constexpr BlockKernels table{UPS_KERNEL_NAME,     saved_floats, scratch_floats, attention_forward, attention_backward,
                                      layer_norm_forward,  layer_norm_backward,          gelu_forward,      gelu_backward,
                                      add_bias,            column_sums};
  return table;
}

}  // namespace ups::models::reference::UPS_KERNEL_ISA
