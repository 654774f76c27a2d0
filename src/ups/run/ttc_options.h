// The `ttc` block: test-time compute, several candidates for each step and a physical reward that chooses among them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"

namespace ups::run {

struct TtcSamplerOptions {
  std::vector<double> tau_range = {0.3, 0.7};
  double noise_std = 0;
  std::optional<std::string> noise_schedule;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "candidates are samples of the corrector, from pure noise: see diffusion.sampler";
    v("tau_range", s.tau_range, {.doc = "noise levels of candidates", .min = 0, .max = 1, .status = kNo, .advice = kWhy});
    v("noise_std", s.noise_std, {.doc = "extra noise", .min = 0, .status = kNo, .advice = kWhy});
    v("noise_schedule", s.noise_schedule, {.status = kNo, .advice = kWhy, .free_form = false});
  }
};

struct TtcWeightsOptions {
  double residual = 1, mass = 1, momentum = 0, energy = 0, penalty_negative = 0, smoothness = 0;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("residual", s.residual, {.doc = "defect of the step in the equation (advection1d, burgers1d, ks1d; no term elsewhere)", .min = 0});
    v("mass", s.mass, {.doc = "change of the spatial mean of conserved channels", .min = 0});
    v("momentum", s.momentum, {.doc = "change of the spatial mean of reward.momentum_field", .min = 0});
    v("energy", s.energy, {.doc = "growth of the mean square beyond what the equation allows; a fall costs nothing", .min = 0});
    v("penalty_negative", s.penalty_negative, {.doc = "mean negative part", .min = 0});
    v("smoothness", s.smoothness, {.doc = "mean squared second difference", .min = 0});
  }
};

struct TtcCriticOptions {
  double weight = 0;
  int64_t hidden_dim = 128;
  double dropout = 0;
  std::optional<std::string> checkpoint;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "there is no learned reward";
    v("weight", s.weight, {.doc = "above 0 is refused: learned critics are not supported", .min = 0, .status = kNo, .advice = kWhy});
    v("hidden_dim", s.hidden_dim, {.min = 1, .status = kNo, .advice = kWhy});
    v("dropout", s.dropout, {.min = 0, .max = 1, .status = kNo, .advice = kWhy});
    v("checkpoint", s.checkpoint, {.status = kNo, .advice = kWhy});
  }
};

struct TtcRewardOptions {
  std::string scheme = "solver";
  double analytical_weight = 1;
  std::vector<int64_t> grid = {64, 64};
  std::optional<std::string> mass_field, energy_field;
  std::vector<std::string> momentum_field;
  bool debug = false;
  TtcWeightsOptions weights;
  TtcCriticOptions critic;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("scheme", s.scheme, {.doc = "residual of ks1d: the two frames in Crank-Nicolson's or Obreshkov's formula, or the distance to a coarse step of the "
                                  "solver; other equations use characteristics",
                           .choices = {"crank_nicolson", "obreshkov4", "obreshkov6", "solver"}});
    v("analytical_weight", s.analytical_weight, {.status = kNo, .advice = "the physical reward is the only one: use ttc.reward.weights"});
    v("grid", s.grid, {.min = 1, .status = kNo, .advice = "rewards work on the data's grid"});
    v("mass_field", s.mass_field, {.doc = "channel whose mean is kept; default: those that the equation conserves"});
    v("energy_field", s.energy_field, {.doc = "channel whose mean square counts; default: all"});
    v("momentum_field", s.momentum_field, {.doc = "channels whose means are kept"});
    v("debug", s.debug, {.status = kNo, .advice = "the report is always written"});
    v("weights", s.weights, {.doc = "weights of the reward's terms, each standardised over the candidates of a sample"});
    v("critic", s.critic, {.doc = "learned reward"});
  }
};

struct TtcDecoderOptions {
  std::optional<int64_t> latent_dim;
  int64_t query_dim = 2, hidden_dim = 128, mlp_hidden_dim = 128, num_layers = 2, num_heads = 4;
  std::vector<double> frequencies = {1, 2, 4};
  std::string output_channels;  // free-form
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "rewards see the fields that the run itself predicts";
    v("latent_dim", s.latent_dim, {.min = 1, .status = kNo, .advice = kWhy});
    v("query_dim", s.query_dim, {.min = 1, .status = kNo, .advice = kWhy});
    v("hidden_dim", s.hidden_dim, {.min = 1, .status = kNo, .advice = kWhy});
    v("mlp_hidden_dim", s.mlp_hidden_dim, {.min = 1, .status = kNo, .advice = kWhy});
    v("num_layers", s.num_layers, {.min = 1, .status = kNo, .advice = kWhy});
    v("num_heads", s.num_heads, {.min = 1, .status = kNo, .advice = kWhy});
    v("frequencies", s.frequencies, {.min = 0, .status = kNo, .advice = kWhy});
    v("output_channels", s.output_channels, {.status = kNo, .advice = kWhy, .free_form = true});
  }
};

struct TtcOptions {
  bool enabled = false;
  std::string first = "operator";
  std::optional<int64_t> steps;
  std::optional<double> dt;
  int64_t candidates = 4, beam_width = 1, horizon = 1;
  std::optional<double> margin, residual_threshold;
  std::optional<int64_t> max_evaluations;
  std::optional<double> early_stop_margin;
  double gamma = 1;
  bool debug = false;
  TtcSamplerOptions sampler;
  TtcRewardOptions reward;
  TtcDecoderOptions decoder;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("enabled", s.enabled, {.doc = "ups-eval adds the rows ttc and ttc_control_mean (needs diff_residual)"});
    v("first", s.first, {.doc = "candidate 0; the others are samples of the corrector", .choices = {"operator", "corrector_mean"}});
    v("steps", s.steps, {.doc = "predicted frames that are chosen, from the first; later ones are candidate 0; default all", .min = 1});
    v("dt", s.dt, {.min = 0, .status = kNo, .advice = "steps have the spacing of the data"});
    v("candidates", s.candidates, {.doc = "per state, with candidate 0", .min = 1, .max = 4096});
    v("beam_width", s.beam_width, {.doc = "states per sample that the lookahead keeps", .min = 1, .max = 4096, .aliases = {"beam"}});
    v("horizon", s.horizon, {.doc = "steps that are looked at before one is taken", .min = 1, .max = 1000});
    v("margin", s.margin,
      {.doc = "lead over candidate 0, in standard deviations, that another one needs; default: fitted on the validation split", .min = 0});
    v("residual_threshold", s.residual_threshold,
      {.doc = "a candidate 0 with at most this residual (relative to the field) is taken without drawing others", .min = 0});
    v("max_evaluations", s.max_evaluations,
      {.doc = "network evaluations per sample and frame: the horizon, then the candidates are lowered to fit", .min = 1});
    v("early_stop_margin", s.early_stop_margin, {.doc = "a candidate that leads by this many standard deviations is taken without lookahead", .min = 0});
    v("gamma", s.gamma, {.doc = "weight of the reward of each further step of the lookahead", .min = 0});
    v("debug", s.debug, {.status = kNo, .advice = "the report is always written"});
    v("sampler", s.sampler, {.doc = "how candidates are drawn"});
    v("reward", s.reward, {.doc = "how candidates are scored"});
    v("decoder", s.decoder, {.doc = "UPS's any-point decoder"});
  }
};

}  // namespace ups::run
