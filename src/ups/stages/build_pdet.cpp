#include <algorithm>

#include "ups/core/error.h"
#include "ups/models/patch_unet.h"
#include "ups/models/pde_transformer.h"
#include "ups/stages/build.h"

namespace ups::stages {
namespace {

// pdet_window with spectral mixing works on cells or pairs of cells; pure attention needs patches to be affordable.
int64_t default_patch(const std::vector<int64_t>& grid, bool spectral) {
  if (spectral) return grid.size() == 1 ? (grid[0] >= 512 ? 2 : 1) : (*std::min_element(grid.begin(), grid.end()) >= 48 ? 4 : 2);
  return grid.size() == 1 && grid[0] >= 512 ? 8 : 4;
}

}  // namespace

std::unique_ptr<models::FieldModel> build_pdet_unet(const FieldSpace& space, const NetSpec& spec, const NetOptions& options) {
  const auto& o = options.pdet;
  models::PatchUnetConfig c;
  c.in_channels = spec.in_channels;
  c.out_channels = spec.out_channels;
  c.grid = space.grid();
  c.patch = options.patch.value_or(default_patch(c.grid, false));
  c.core.latent_dim = options.latent_dim;
  c.core.hidden_dim = o.hidden_dim.value_or(2 * options.latent_dim);
  c.core.depths = o.depths.value_or(std::vector<int64_t>{1, 1, 1});
  c.core.group_size = o.group_size.value_or(32);
  c.core.num_heads = o.num_heads;
  c.core.mlp_ratio = o.mlp_ratio.value_or(2.0);
  c.core.time_embed_dim = options.latent_dim;
  c.seed = spec.seed;
  if (spec.condition_tau) throw usage_error("operator.pdet", "the corrector needs architecture pdet_window", "set diffusion.pdet without input_dim and group_size");
  return std::make_unique<models::PatchUnet>(c);
}

std::unique_ptr<models::FieldModel> build_pdet_window(const FieldSpace& space, const NetSpec& spec, const NetOptions& options) {
  const auto& info = space.info();
  const auto& o = options.pdet;
  const bool operator_net = !spec.steady && !spec.condition_tau;
  // What does not vary needs no modulation, which would cost a network without noise level a third of its steps.
  using Names = std::vector<std::string>;
  const Names condition = o.condition ? *o.condition : spec.condition_tau ? Names{"dt", "params", "bc"} : space.params_vary ? Names{"params"} : Names{};
  const auto asks = [&](const char* what) { return std::find(condition.begin(), condition.end(), what) != condition.end(); };
  models::PdeTransformerConfig c;
  c.in_channels = spec.in_channels;
  c.out_channels = spec.out_channels;
  c.grid = space.grid();
  for (size_t a = 0; a < info.grid.size(); ++a) c.periodic.push_back(o.periodic.value_or(info.periodic(a)));
  c.hidden = o.hidden_dim.value_or(24);
  c.depths = o.depths.value_or(std::vector<int64_t>{2, 1});
  c.heads = o.num_heads;
  c.window = o.window;
  c.transport = o.transport.value_or(operator_net && o.local_mixing == "spectral");
  c.mlp_ratio = o.mlp_ratio.value_or(c.transport ? 0.0 : 2.0);
  c.modes = o.modes.value_or(c.transport ? 12 : 48);
  if (o.linear_path && operator_net && spec.in_channels != spec.out_channels)
    throw usage_error("operator.pdet.linear_path", "maps one frame to one frame, found a network that sees several", "remove it or operator.context");
  c.linear_path = o.linear_path && operator_net;
  using Mixing = models::PdeTransformerConfig::Mixing;
  c.local_mixing = o.local_mixing == "none" ? Mixing::none : o.local_mixing == "conv3" ? Mixing::conv3 : Mixing::spectral;
  c.patch = options.patch.value_or(space.autoencoder ? 1 : default_patch(c.grid, c.local_mixing == Mixing::spectral));
  c.normalise = o.norm == "layer" || (o.norm == "auto" && c.local_mixing == Mixing::none);
  c.attention_everywhere = o.attention == "all";
  c.separate_channels = o.channel_mode == "separate" && space.channels() > 1 && !spec.steady;
  c.parameters = asks("params") ? static_cast<int64_t>(info.param_names.size()) : 0;
  c.boundary_kinds = asks("bc") ? space.boundary.size(1) : 0;
  c.condition_dt = asks("dt") && !spec.steady;
  c.condition_tau = spec.condition_tau;
  c.seed = spec.seed;
  if (c.hidden % c.heads != 0)
    throw usage_error("operator.pdet", "hidden_dim " + std::to_string(c.hidden) + " is not a multiple of num_heads " + std::to_string(c.heads), "choose hidden_dim divisible by num_heads");
  return std::make_unique<models::PdeTransformer>(c);
}

}  // namespace ups::stages
