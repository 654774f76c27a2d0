// One block of a PdeTransformer: branches that mix tokens, then an MLP (the formulas stand in pde_transformer.h).
#pragma once
#include <memory>

#include "ups/models/local_mixing.h"
#include "ups/models/pde_transformer_config.h"
#include "ups/models/transport.h"
#include "ups/models/window_attention.h"

namespace ups::models {

class ChannelAttention;

class PdetBlock : public Module {
 public:
  // grid: of this level; finest: whether it is the first; index: of the block within its side of the level, odd ones shift their
  // windows; sequences: channels of a sample that are sequences of their own.
  PdetBlock(const PdeTransformerConfig& config, const TokenGrid& grid, bool finest, int64_t index, int64_t sequences, const std::string& key);
  ~PdetBlock() override;
  // x [N, B', D]; condition [B', D], undefined when there is none.
  Tensor operator()(const Tensor& x, const Tensor& condition) const;

 private:
  // m: shift, scale and gate of a branch, null without a condition (then they are 0, 0 and 1).
  Tensor prepared(const Tensor& x, const Tensor* m) const;
  Tensor joined(const Tensor& x, const Tensor* m, const Tensor& y) const;
  Tensor mlp(const Tensor& z, const Tensor* m) const;
  fused::MixingBranches branches() const;

  bool normalise_;
  bool fusible_;  // local branches, GELU and residual in one node
  std::unique_ptr<TokenConv> conv_;
  std::unique_ptr<SpectralConv> spectral_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<WindowAttention> attention_;
  std::unique_ptr<ChannelAttention> channels_;
  std::unique_ptr<Linear> mlp_in_, mlp_out_, modulation_;
};

}  // namespace ups::models
