// Raw fp32 CPU kernels of the reference block. All matrices row-major and contiguous. One implementation (block_kernels_impl.h),
// compiled for AVX-512, AVX2 and the baseline; block_kernels() picks the widest that the machine has.
//
// Inside, a sample is held transposed, [feature][token]: tokens fill the vector lanes, so norms, projections and softmax need no
// sums across lanes, and the groups of the channel-separated attention are plain row ranges.
#pragma once
#include <cstdint>

namespace ups::models::reference {

struct AttentionShape {
  int64_t batch, tokens, width, group, heads;
};

// Weights of attn_norm and attn; matrices [G,G] (out, in).
template <class T>
struct AttentionTensors {
  T *norm_weight, *norm_bias;                         // [H]
  T *q_weight, *q_bias, *k_weight, *k_bias;           // [G,G], [G]
  T *v_weight, *v_bias, *out_weight, *out_bias;
  T *q_norm, *k_norm;                                 // [G]
};

struct BlockKernels {
  const char* name;
  // Floats that attention_forward saves per call (q, k, v, mixed values, softmax maxima and inverse sums), and scratch floats.
  int64_t (*saved_floats)(const AttentionShape&);
  int64_t (*scratch_floats)(const AttentionShape&);
  // out = x + attn(LayerNorm(x)), [B,T,H].
  void (*attention_forward)(const AttentionShape&, const float* x, const AttentionTensors<const float>&, float* out, float* saved,
                            float* scratch);
  // grad_x = grad_out + d attn; the parameter gradients are written (not added).
  void (*attention_backward)(const AttentionShape&, const float* x, const AttentionTensors<const float>&, const float* saved,
                             const float* grad_out, float* grad_x, const AttentionTensors<float>& grads, float* scratch);
  // y = LayerNorm(x); stats [rows, 2] = mean, 1/std.
  void (*layer_norm_forward)(int64_t rows, int64_t width, const float* x, const float* weight, const float* bias, float* y,
                             float* stats);
  // grad_x = (residual or 0) + d LayerNorm; grad_weight and grad_bias are written.
  void (*layer_norm_backward)(int64_t rows, int64_t width, const float* x, const float* stats, const float* weight,
                              const float* grad_y, const float* residual, float* grad_x, float* grad_weight, float* grad_bias);
  // u += bias; value = gelu(u), slope = gelu'(u); u [rows, width] may be `value`.
  void (*gelu_forward)(int64_t rows, int64_t width, const float* u, const float* bias, float* value, float* slope);
  // grad *= slope; column_sums = sums over rows of the product.
  void (*gelu_backward)(int64_t rows, int64_t width, float* grad, const float* slope, float* column_sums);
  void (*add_bias)(int64_t rows, int64_t width, const float* x, const float* bias, float* y);  // y = x + bias
  void (*column_sums)(int64_t rows, int64_t width, const float* x, float* sums);
};

const BlockKernels& block_kernels();
// Every variant that this machine can run, widest first; count entries. For tests.
const BlockKernels* const* block_kernel_variants(int& count);

}  // namespace ups::models::reference
