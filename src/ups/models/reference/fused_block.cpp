#include "ups/models/reference/fused_block.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include "ups/models/reference/block_kernels.h"
#include "ups/optim/blas.h"

namespace ups::models::reference {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Parameters in the order of the function's inputs.
enum Slot { kNormW, kNormB, kQw, kQb, kKw, kKb, kVw, kVb, kOw, kOb, kQn, kKn, kFfNormW, kFfNormB, kInW, kInB, kOutW, kOutB, kSlots };

template <class T, class Get>
AttentionTensors<T> attention_tensors(Get&& get) {
  return {get(kNormW), get(kNormB), get(kQw), get(kQb), get(kKw), get(kKb), get(kVw), get(kVb), get(kOw), get(kOb), get(kQn), get(kKn)};
}

// C[m,n] = op(A)[m,k] op(B)[k,n] + beta C; contiguous; a transposed operand is stored as [k,m] or [n,k].
void gemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float beta, float* c) {
  optim::host::gemm(transpose_a, transpose_b, m, n, k, 1.f, a, transpose_a ? m : k, b, transpose_b ? k : n, beta, c, n);
}

struct BlockFunction : torch::autograd::Function<BlockFunction> {
  // Parameters are a pack: autograd sees tensors among the arguments, not in a vector.
  template <class... Params>
  static Tensor forward(AutogradContext* ctx, int64_t group, int64_t heads, const Tensor& x_in, const Params&... parameters) {
    static_assert(sizeof...(Params) == kSlots);
    const variable_list params{parameters...};
    const BlockKernels& k = block_kernels();
    const Tensor x = x_in.contiguous();
    const int64_t batch = x.size(0), tokens = x.size(1), width = x.size(2), rows = batch * tokens, hidden = params[kInW].size(0);
    const AttentionShape shape{batch, tokens, width, group, heads};
    const auto p = [&](int i) { return params[static_cast<size_t>(i)].const_data_ptr<float>(); };
    const auto options = x.options();
    const Tensor saved = at::empty({k.saved_floats(shape)}, options), scratch = at::empty({k.scratch_floats(shape)}, options);
    const Tensor mid = at::empty_like(x), normed = at::empty_like(x), stats = at::empty({rows, 2}, options);
    const Tensor act = at::empty({rows, hidden}, options), slope = at::empty({rows, hidden}, options), out = at::empty_like(x);
    float* a = act.mutable_data_ptr<float>();
    float* y = out.mutable_data_ptr<float>();
    k.attention_forward(shape, x.const_data_ptr<float>(), attention_tensors<const float>(p), mid.mutable_data_ptr<float>(),
                        saved.mutable_data_ptr<float>(), scratch.mutable_data_ptr<float>());
    k.layer_norm_forward(rows, width, mid.const_data_ptr<float>(), p(kFfNormW), p(kFfNormB), normed.mutable_data_ptr<float>(),
                         stats.mutable_data_ptr<float>());
    gemm(false, true, rows, hidden, width, normed.const_data_ptr<float>(), p(kInW), 0.f, a);
    k.gelu_forward(rows, hidden, a, p(kInB), a, slope.mutable_data_ptr<float>());
    k.add_bias(rows, width, mid.const_data_ptr<float>(), p(kOutB), y);
    gemm(false, true, rows, width, hidden, a, p(kOutW), 1.f, y);
    variable_list keep(params);
    for (const Tensor& t : {x, saved, mid, normed, stats, act, slope}) keep.push_back(t);
    ctx->save_for_backward(std::move(keep));
    ctx->saved_data["group"] = group;
    ctx->saved_data["heads"] = heads;
    return out;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grad_outputs) {
    const BlockKernels& k = block_kernels();
    const variable_list kept = ctx->get_saved_variables();
    const auto p = [&](int i) { return kept[static_cast<size_t>(i)].const_data_ptr<float>(); };
    const Tensor &x = kept[kSlots], &saved = kept[kSlots + 1], &mid = kept[kSlots + 2], &normed = kept[kSlots + 3],
                 &stats = kept[kSlots + 4], &act = kept[kSlots + 5], &slope = kept[kSlots + 6];
    const Tensor grad = grad_outputs[0].contiguous();
    const int64_t width = x.size(2), rows = x.size(0) * x.size(1), hidden = act.size(1);
    const AttentionShape shape{x.size(0), x.size(1), width, ctx->saved_data["group"].toInt(), ctx->saved_data["heads"].toInt()};
    const auto options = x.options();
    const float* dy = grad.const_data_ptr<float>();

    variable_list out(kSlots + 3);  // group, heads, x, parameters
    for (size_t i = 0; i < kSlots; ++i) out[i + 3] = at::empty_like(kept[i]);
    const auto g = [&](int i) { return out[static_cast<size_t>(i) + 3].mutable_data_ptr<float>(); };
    const Tensor d_act = at::empty({rows, hidden}, options), d_normed = at::empty({rows, width}, options), d_mid = at::empty_like(x);
    const Tensor scratch = at::empty({k.scratch_floats(shape)}, options);
    out[2] = at::empty_like(x);
    float* da = d_act.mutable_data_ptr<float>();

    gemm(true, false, width, hidden, rows, dy, act.const_data_ptr<float>(), 0.f, g(kOutW));
    k.column_sums(rows, width, dy, g(kOutB));
    gemm(false, false, rows, hidden, width, dy, p(kOutW), 0.f, da);
    k.gelu_backward(rows, hidden, da, slope.const_data_ptr<float>(), g(kInB));
    gemm(true, false, hidden, width, rows, da, normed.const_data_ptr<float>(), 0.f, g(kInW));
    gemm(false, false, rows, width, hidden, da, p(kInW), 0.f, d_normed.mutable_data_ptr<float>());
    k.layer_norm_backward(rows, width, mid.const_data_ptr<float>(), stats.const_data_ptr<float>(), p(kFfNormW),
                          d_normed.const_data_ptr<float>(), dy, d_mid.mutable_data_ptr<float>(), g(kFfNormW), g(kFfNormB));
    k.attention_backward(shape, x.const_data_ptr<float>(), attention_tensors<const float>(p), saved.const_data_ptr<float>(),
                         d_mid.const_data_ptr<float>(), out[2].mutable_data_ptr<float>(), attention_tensors<float>(g),
                         scratch.mutable_data_ptr<float>());
    return out;
  }
};

constexpr int64_t kMaxTokens = 1024;  // scratch grows with tokens^2 only through one head's scores; beyond this the plain path is as good
constexpr int64_t kMaxHeadDim = 64;

}  // namespace

bool can_fuse(const Block& block, const Tensor& x) {
  return x.device().is_cpu() && x.scalar_type() == at::kFloat && x.dim() == 3 && x.numel() > 0 && x.size(1) <= kMaxTokens &&
         block.config().group_size / block.config().num_heads <= kMaxHeadDim &&
         block.ff_in.weight().scalar_type() == at::kFloat && !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor fused_block(const Block& block, const Tensor& x) {
  const GroupAttention& a = block.attn;
  return BlockFunction::apply(block.config().group_size, block.config().num_heads, x, block.attn_norm.weight(), block.attn_norm.bias(),
                              a.q_proj.weight(), a.q_proj.bias(), a.k_proj.weight(), a.k_proj.bias(), a.v_proj.weight(),
                              a.v_proj.bias(), a.out_proj.weight(), a.out_proj.bias(), a.q_norm.weight(), a.k_norm.weight(),
                              block.ff_norm.weight(), block.ff_norm.bias(), block.ff_in.weight(), block.ff_in.bias(),
                              block.ff_out.weight(), block.ff_out.bias());
}

}  // namespace ups::models::reference
