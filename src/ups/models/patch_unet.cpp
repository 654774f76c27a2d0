#include "ups/models/patch_unet.h"

#include <ATen/ATen.h>

namespace ups::models {
namespace {
int64_t cells_of(const PatchUnetConfig& c) { return c.grid.size() == 1 ? c.patch : c.patch * c.patch; }
}  // namespace

PatchUnet::PatchUnet(const PatchUnetConfig& config)
    : config_(config),
      embed_(config.in_channels * cells_of(config), config.core.latent_dim, config.seed, "embed", Role::input),
      unembed_(config.core.latent_dim, config.out_channels * cells_of(config), config.seed, "unembed", Role::output, 0.0),
      core_(config.core, config.seed) {
  for (int64_t n : config.grid) tokens_.push_back((n + config.patch - 1) / config.patch);
  add_child("embed", embed_);
  add_child("operator", core_);
  add_child("unembed", unembed_);
}

Tensor PatchUnet::forward(const Tensor& input, const Condition& condition) {
  const int64_t b = input.size(0), p = config_.patch;
  Tensor x = input;
  for (size_t a = 0; a < config_.grid.size(); ++a) {
    const int64_t dim = static_cast<int64_t>(a) + 2, extra = tokens_[a] * p - config_.grid[a];
    if (extra > 0) x = at::cat({x, x.narrow(dim, config_.grid[a] - 1, 1).repeat_interleave(extra, dim)}, dim);
  }
  const bool line = tokens_.size() == 1;
  const int64_t in = config_.in_channels, out = config_.out_channels;
  Tensor t = line ? x.reshape({b, in, tokens_[0], p}).permute({0, 2, 1, 3}).reshape({b, tokens_[0], in * p})
                  : x.reshape({b, in, tokens_[0], p, tokens_[1], p}).permute({0, 2, 4, 1, 3, 5}).reshape({b, tokens_[0] * tokens_[1], in * p * p});
  const Tensor dt = condition.dt.defined() ? condition.dt : at::zeros({b}, x.options());
  Tensor y = unembed_(core_.step(embed_(t), dt));
  y = line ? y.view({b, tokens_[0], out, p}).permute({0, 2, 1, 3}).reshape({b, out, tokens_[0] * p})
           : y.view({b, tokens_[0], tokens_[1], out, p, p}).permute({0, 3, 1, 4, 2, 5}).reshape({b, out, tokens_[0] * p, tokens_[1] * p});
  for (size_t a = 0; a < config_.grid.size(); ++a) y = y.narrow(static_cast<int64_t>(a) + 2, 0, config_.grid[a]);
  return y;
}

}  // namespace ups::models
