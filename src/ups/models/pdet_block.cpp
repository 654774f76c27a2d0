#include "ups/models/pdet_block.h"

#include <ATen/ATen.h>

#include "ups/models/fused_ops.h"
#include "ups/models/gelu.h"
#include "ups/models/path_probe.h"

namespace ups::models {

// Attention over the channels of one position (separate channel mode).
class ChannelAttention : public Module {
 public:
  ChannelAttention(int64_t dim, int64_t heads, int64_t sequences, uint64_t seed, const std::string& key)
      : heads_(heads), sequences_(sequences), qkv_(dim, 3 * dim, seed, key + ".qkv"), out_(dim, dim, seed, key + ".out", Role::hidden, 0.1) {
    add_child("qkv", qkv_);
    add_child("out", out_);
  }
  Tensor operator()(const Tensor& x) const {  // [N, B*S, D], sequences of a sample are neighbours
    const int64_t n = x.size(0), rows = x.size(1) / sequences_, d = x.size(2);
    const auto qkv = qkv_(x).view({n * rows, sequences_, 3, heads_, d / heads_}).permute({2, 0, 3, 1, 4}).unbind(0);
    const Tensor y = at::scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]);
    return out_(y.transpose(1, 2).reshape(x.sizes()));
  }

 private:
  int64_t heads_, sequences_;
  Linear qkv_, out_;
};

PdetBlock::~PdetBlock() = default;

PdetBlock::PdetBlock(const PdeTransformerConfig& c, const TokenGrid& grid, bool finest, int64_t index, int64_t sequences, const std::string& key)
    : normalise_(c.normalise) {
  using Mixing = PdeTransformerConfig::Mixing;
  if (c.conditioned()) {
    modulation_ = std::make_unique<Linear>(c.hidden, (c.mlp_ratio > 0 ? 6 : 3) * c.hidden, c.seed, key + ".modulation", Role::embedding, 0.0);
    add_child("modulation", *modulation_);
  }
  if (c.local_mixing != Mixing::none) {
    conv_ = std::make_unique<TokenConv>(c.hidden, grid, c.seed, key + ".conv");
    add_child("conv", *conv_);
  }
  if (c.local_mixing == Mixing::spectral) {
    spectral_ = std::make_unique<SpectralConv>(c.hidden, grid, c.modes, c.seed, key + ".spectral");
    add_child("spectral", *spectral_);
  }
  if (c.transport) {
    transport_ = std::make_unique<Transport>(c.hidden, c.heads, grid, c.seed, key + ".transport");
    add_child("transport", *transport_);
  }
  if (c.attention_everywhere || !finest || c.local_mixing == Mixing::none) {
    attention_ = std::make_unique<WindowAttention>(c.hidden, c.heads, grid, c.window, index % 2 == 1, c.seed, key + ".attention");
    add_child("attention", *attention_);
  }
  if (sequences > 1) {
    channels_ = std::make_unique<ChannelAttention>(c.hidden, c.heads, sequences, c.seed, key + ".channels");
    add_child("channels", *channels_);
  }
  if (const auto width = static_cast<int64_t>(c.mlp_ratio * static_cast<double>(c.hidden)); width > 0) {
    mlp_in_ = std::make_unique<Linear>(c.hidden, width, c.seed, key + ".mlp.0");
    mlp_out_ = std::make_unique<Linear>(width, c.hidden, c.seed, key + ".mlp.2");
    add_child("mlp.0", *mlp_in_);
    add_child("mlp.2", *mlp_out_);
  }
  fusible_ = grid.size.size() == 1 && conv_ && !normalise_ && !modulation_;
}

Tensor PdetBlock::prepared(const Tensor& x, const Tensor* m) const {
  if (!m) return normalise_ ? at::layer_norm(x, {x.size(-1)}, {}, {}, fused::kNormEps) : x;
  return normalise_ ? fused::modulated_norm(x, m[0], m[1]) : fused::modulated(x, m[0], m[1]);
}
Tensor PdetBlock::joined(const Tensor& x, const Tensor* m, const Tensor& y) const {
  if (!m) return x + y;
  return fused::gated_add(x, normalise_ ? m[2] : 1 + m[2], y);
}

Tensor PdetBlock::operator()(const Tensor& x, const Tensor& condition) const {
  std::vector<Tensor> m;
  if (modulation_) m = (*modulation_)(condition).chunk(mlp_in_ ? 6 : 3, -1);
  const Tensor* const first = modulation_ ? m.data() : nullptr;
  const Tensor* const second = modulation_ && mlp_in_ ? m.data() + 3 : nullptr;
  const Tensor y = prepared(x, first);
  Tensor mixed;
  const auto add = [&](const Tensor& t) { mixed = mixed.defined() ? mixed + t : t; };
  if (attention_) add(probed("attention", (*attention_)(y)));
  if (channels_) add(probed("channels", (*channels_)(y)));
  Tensor z;
  if (fusible_ && fused::enabled(y) && !PathProbe::current()) {
    z = fused::mixing_layer1d(y, branches(), mixed);
  } else {
    if (conv_) add(probed("conv", (*conv_)(y)));
    if (spectral_) add(probed("spectral", (*spectral_)(y)));
    if (transport_) add(probed("transport", (*transport_)(y)));
    z = joined(x, first, normalise_ ? mixed : fused::gelu(mixed));
  }
  if (!mlp_in_) return z;
  return joined(z, second, probed("mlp", mlp(z, second)));
}
Tensor PdetBlock::mlp(const Tensor& z, const Tensor* m) const { return (*mlp_out_)(fused::gelu((*mlp_in_)(prepared(z, m)))); }

fused::MixingBranches PdetBlock::branches() const {
  fused::MixingBranches b;
  conv_->lend(b);
  if (spectral_) spectral_->lend(b);
  if (transport_) transport_->lend(b);
  return b;
}

}  // namespace ups::models
