// The `latent`, `encoder`, `operator` and `diffusion` blocks of a configuration.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"
#include "ups/models/opponent_options.h"

namespace ups::models {

struct LatentOptions {
  int64_t dim = 32, tokens = 16;
  std::string space = "auto";
  std::string decoder = "liif";
  std::optional<std::vector<int64_t>> widths;
  int64_t blocks = 2;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("dim", s.dim, {.doc = "channels of a latent token; of the autoencoder, and what pdet_unet works on", .min = 1, .max = 4096});
    v("tokens", s.tokens, {.doc = "latent tokens of the reference encoder", .min = 1, .max = 1048576});
    v("space", s.space,
      {.doc = "where models work: patch = normalised field, reference = UPS's frozen random encoder, ae = latents of stage autoencoder; auto = patch",
       .choices = {"auto", "patch", "ae", "reference"}});
    v("decoder", s.decoder,
      {.doc = "any-point decoder of the autoencoder: liif reads the features around a point; perceiver (UPS's, over the whole domain) is ignored",
       .choices = {"liif", "perceiver"}});
    v("widths", s.widths,
      {.doc = "autoencoder: channels per level, each level halves the grid; default [24, 40, 56, 64], in 2-D [24, 48, 96]", .min = 1, .max = 4096});
    v("blocks", s.blocks, {.doc = "autoencoder: residual blocks per level and side", .min = 0, .max = 64});
  }
};

struct GridEncoderOptions {
  std::string architecture_type = "grid_cnn";
  std::vector<int64_t> hidden_channels = {64, 128, 256};
  int64_t kernel_size = 3, stride = 2, padding = 1;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kStatus = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "UPS's grid encoder is not trained here; see latent.space";
    v("architecture_type", s.architecture_type, {.status = kStatus, .advice = kWhy});
    v("hidden_channels", s.hidden_channels, {.min = 1, .status = kStatus, .advice = kWhy});
    v("kernel_size", s.kernel_size, {.min = 1, .status = kStatus, .advice = kWhy});
    v("stride", s.stride, {.min = 1, .status = kStatus, .advice = kWhy});
    v("padding", s.padding, {.min = 0, .status = kStatus, .advice = kWhy});
  }
};

struct EncoderOptions {
  GridEncoderOptions grid;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("grid", s.grid, {.doc = "encoder of later UPS versions"});
  }
};

// Sizes of a PDE-Transformer. Unset values get their defaults from resolve_pdet().
struct PdetOptions {
  std::optional<int64_t> input_dim, hidden_dim;
  std::optional<std::vector<int64_t>> depths;
  std::optional<int64_t> group_size;
  int64_t num_heads = 4;
  std::optional<double> mlp_ratio;
  double dropout = 0;
  int64_t window = 8;
  std::optional<bool> periodic;
  std::optional<std::vector<std::string>> condition;
  std::string channel_mode = "mixed";
  std::string local_mixing = "spectral";
  std::optional<int64_t> modes;
  std::optional<bool> transport;
  bool linear_path = false;
  std::string norm = "auto";
  std::string attention = "auto";
  // pdet_stack
  std::optional<int64_t> depth;
  std::string attention_type = "standard";
  bool qk_norm = false;
  double drop_path = 0;
  bool use_activation_checkpoint = false;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr std::string_view kStack = "read by pdet_stack only";
    v("input_dim", s.input_dim, {.doc = "pdet_unet: channels of a token; equals latent.dim", .min = 1, .max = 4096});
    v("hidden_dim", s.hidden_dim,
      {.doc = "width; default 24 (pdet_unet: 2 latent.dim)",
       .min = 1, .max = 16384});
    v("depths", s.depths,
      {.doc = "blocks per level from the finest to the bottleneck, mirrored on the way up: [2, 5, 8] has 2+5+8+5+2 blocks; "
              "default [2, 1] (pdet_unet: [2, 2, 2])",
       .min = 1, .max = 64});
    v("group_size", s.group_size,
      {.doc = "pdet_unet: channels per attention group, divides hidden_dim; default 32", .min = 1, .max = 16384});
    v("num_heads", s.num_heads, {.doc = "attention heads", .min = 1, .max = 256});
    v("mlp_ratio", s.mlp_ratio, {.doc = "hidden width of the MLP / width; 0 = no MLP (pdet_window); default 0 with transport, else 2", .min = 0, .max = 16});
    v("dropout", s.dropout, {.doc = "dropout in attention and MLP; pdet_unet never uses it", .min = 0, .max = 0.95});
    v("window", s.window, {.doc = "pdet_window: patches per attention window and axis", .min = 1, .max = 1024});
    v("periodic", s.periodic, {.doc = "pdet_window: wrap windows and paddings around; default from the data's boundary"});
    v("condition", s.condition,
      {.doc = "pdet_window: what AdaLN sees: time step, PDE parameters, boundary kind; default params where they vary in the training data (networks with a noise level: all)", .choices = {"dt", "params", "bc"}});
    v("channel_mode", s.channel_mode,
      {.doc = "pdet_window: fields share tokens (mixed) or have their own (separate)", .choices = {"mixed", "separate"}});
    v("local_mixing", s.local_mixing,
      {.doc = "pdet_window: token mixing beside attention: 3-tap convolution, or that and a truncated Fourier convolution", .choices = {"none", "conv3", "spectral"}});
    v("transport", s.transport,
      {.doc = "pdet_window: every head also reads its values at a learned displacement (semi-Lagrangian; deformable attention with one point); default true in operators with local_mixing spectral"});
    v("linear_path", s.linear_path,
      {.doc = "pdet_window: a Fourier multiplier beside the network, the linear part of the step; not in correctors and steady priors"});
    v("norm", s.norm,
      {.doc = "pdet_window: LayerNorm before mixing and MLP; auto = layer only without local mixing (it removes amplitudes)",
       .choices = {"auto", "none", "layer"}});
    v("attention", s.attention,
      {.doc = "pdet_window: levels with window attention; auto = all but the finest beside local mixing", .choices = {"auto", "all"}});
    v("modes", s.modes, {.doc = "Fourier modes per axis of local_mixing spectral; default 12 with transport, else 48", .min = 1, .max = 4096});
    v("depth", s.depth, {.doc = "blocks", .min = 1, .max = 256, .status = KeyStatus::reference, .advice = kStack});
    v("attention_type", s.attention_type,
      {.doc = "attention", .choices = {"standard", "channel_separated"}, .status = KeyStatus::reference, .advice = kStack});
    v("qk_norm", s.qk_norm, {.doc = "normalise queries and keys", .status = KeyStatus::reference, .advice = kStack});
    v("drop_path", s.drop_path, {.doc = "stochastic depth", .min = 0, .max = 0.95, .status = KeyStatus::reference, .advice = kStack});
    v("use_activation_checkpoint", s.use_activation_checkpoint,
      {.doc = "recompute activations", .status = KeyStatus::reference, .advice = kStack});
  }
};

struct OperatorOptions {
  std::optional<std::string> architecture_type;
  PdetOptions pdet;
  FnoOptions fno;
  UnetOptions unet;
  std::optional<int64_t> latent_dim;
  int64_t context = 1;
  std::string predict = "delta";
  std::vector<std::string> conserve;

  // pdet_window, unless the block has UPS's pdet.input_dim or pdet.group_size.
  std::string architecture() const {
    if (architecture_type) return *architecture_type;
    return pdet.input_dim || pdet.group_size ? "pdet_unet" : "pdet_window";
  }

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("architecture_type", s.architecture_type,
      {.doc = "default pdet_window, or pdet_unet when pdet.input_dim or pdet.group_size is given",
       .choices = {"pdet_window", "pdet_unet", "pdet_stack", "fno", "unet"}});
    v("pdet", s.pdet, {.doc = "sizes of the PDE-Transformer"});
    v("fno", s.fno, {.doc = "sizes of the Fourier neural operator"});
    v("unet", s.unet, {.doc = "sizes of the U-Net"});
    v("latent_dim", s.latent_dim, {.doc = "must equal latent.dim when given", .min = 1, .max = 4096});
    v("context", s.context, {.doc = "frames that the operator sees, at most data.initial_step", .min = 1, .max = 256});
    v("predict", s.predict, {.doc = "the change of the state over a step, or the state itself", .choices = {"delta", "state"}});
    v("conserve", s.conserve, {.doc = "channels whose spatial mean a step must not change"});
  }
};

struct DiffusionOptions {
  std::optional<int64_t> latent_dim, hidden_dim;
  std::optional<int64_t> num_layers, time_embed_dim;
  std::optional<double> dropout;
  std::string objective = "flow";
  std::string corrector_mode = "mean";
  double null_token_share = 0.3;
  std::string sampler = "heun:8";
  double rollout_mix = 0;
  std::vector<std::string> conserve;
  double gate = 3.0;
  std::optional<PdetOptions> pdet;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr std::string_view kUnread = "UPS never reads it either";
    v("latent_dim", s.latent_dim, {.doc = "must equal latent.dim when given", .min = 1, .max = 4096});
    v("hidden_dim", s.hidden_dim, {.doc = "objective reference: width of the MLP; default 2 latent.dim", .min = 1, .max = 16384});
    v("num_layers", s.num_layers, {.min = 1, .status = KeyStatus::no_effect, .advice = kUnread});
    v("time_embed_dim", s.time_embed_dim, {.min = 1, .status = KeyStatus::no_effect, .advice = kUnread});
    v("dropout", s.dropout, {.min = 0, .max = 1, .status = KeyStatus::no_effect, .advice = kUnread});
    v("objective", s.objective,
      {.doc = "how the corrector learns to sample the normalised residual: flow matching; edm = its noise levels and preconditioning; refiner = PDE-Refiner's four levels; "
              "crps = one evaluation, two-member score; reference = UPS's regression",
       .choices = {"flow", "edm", "refiner", "crps", "reference"}});
    v("corrector_mode", s.corrector_mode,
      {.doc = "how the corrector acts in validation and evaluation", .choices = {"off", "mean", "sample", "ensemble_mean"}});
    v("null_token_share", s.null_token_share,
      {.doc = "share of each batch that trains the deterministic mean mode", .min = 0, .max = 1});
    v("sampler", s.sampler, {.doc = "heun:N or euler:N with N steps from noise to residual (flow, edm)"});
    v("rollout_mix", s.rollout_mix, {.doc = "share of training states taken after operator steps", .min = 0, .max = 1});
    v("conserve", s.conserve, {.doc = "channels whose mean the correction must not change"});
    v("gate", s.gate, {.doc = "no correction where the operator's step is below gate x residual RMS; 0 = never gate", .min = 0, .max = 1e6});
    v("pdet", s.pdet, {.doc = "sizes of the corrector network; default those of operator.pdet"});
  }
};

// UPS's token architectures; everything else sizes its PDE-Transformers (operator or corrector) as pdet_window.
inline bool on_latent_tokens(const std::string& architecture) { return architecture == "pdet_unet" || architecture == "pdet_stack"; }

// Fills every unset size. An absent UPS block means {input_dim dim, hidden_dim 2 dim, depths [1, 1, 1], group_size max(dim/2, 4)}.
inline PdetOptions resolve_pdet(PdetOptions p, const std::string& architecture, int64_t latent_dim) {
  if (!on_latent_tokens(architecture)) {
    if (!p.hidden_dim) p.hidden_dim = 24;
    if (!p.depths) p.depths = std::vector<int64_t>{2, 1};
    return p;
  }
  const bool absent = !p.input_dim && !p.hidden_dim && !p.group_size;
  if (!p.input_dim) p.input_dim = latent_dim;
  if (!p.hidden_dim) p.hidden_dim = 2 * latent_dim;
  if (!p.depths) p.depths = absent ? std::vector<int64_t>{1, 1, 1} : std::vector<int64_t>{2, 2, 2};
  if (!p.group_size) p.group_size = absent ? std::max<int64_t>(latent_dim / 2, 4) : 32;
  return p;
}
inline PdetOptions resolve_pdet(const OperatorOptions& op, int64_t latent_dim) {
  return resolve_pdet(op.pdet, op.architecture(), latent_dim);
}

}  // namespace ups::models
