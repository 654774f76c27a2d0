// The `run`, `evaluation` and `ttc` blocks, and the blocks of other programs' files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"

namespace ups::run {

struct RunOptions {
  std::optional<std::string> name;
  std::string mode, steps, dt, correct_every, corrector_tau, residual_threshold;  // UPS inference files
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kX = KeyStatus::refused;
    constexpr std::string_view kWhy = "an inference key: use ups-eval";
    v("name", s.name, {.doc = "stem of the run directory's name: [A-Za-z0-9._-]{1,64}"});
    v("mode", s.mode, {.status = kX, .advice = kWhy, .free_form = true});
    v("steps", s.steps, {.status = kX, .advice = kWhy, .free_form = true});
    v("dt", s.dt, {.status = kX, .advice = kWhy, .free_form = true});
    v("correct_every", s.correct_every, {.status = kX, .advice = kWhy, .free_form = true});
    v("corrector_tau", s.corrector_tau, {.status = kX, .advice = kWhy, .free_form = true});
    v("residual_threshold", s.residual_threshold, {.status = kX, .advice = kWhy, .free_form = true});
  }
};

struct EvaluationOptions {
  bool enabled = true, equal_compute = false;
  std::string split = "test";
  int64_t ensemble = 8;
  std::optional<int64_t> horizon, batch_size;
  std::optional<std::string> wandb_run_id;
  std::optional<bool> distributed;
  std::string checkpoint_files;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("enabled", s.enabled, {.doc = "score the run after --stage all"});
    v("equal_compute", s.equal_compute,
      {.doc = "--stage all also trains the operator alone for the CPU time of operator and corrector together, as a control row"});
    v("split", s.split, {.doc = "which trajectories are scored", .choices = {"test", "val", "train"}});
    v("ensemble", s.ensemble, {.doc = "members per sample of stochastic models", .min = 1, .max = 4096});
    v("horizon", s.horizon, {.doc = "rollout steps; default to the end of the trajectories", .min = 1, .max = 1000000});
    v("batch_size", s.batch_size, {.doc = "trajectories per forward pass; default training.batch_size", .min = 1, .max = 1048576});
    v("wandb_run_id", s.wandb_run_id, {.status = kNo, .advice = "the programs open no network"});
    v("checkpoint_files", s.checkpoint_files, {.status = kNo, .advice = "ups-eval finds the files of a run itself", .free_form = true});
    v("distributed", s.distributed, {.status = kNo, .advice = "evaluation runs in one process"});
  }
};

inline constexpr std::string_view kTtcLater = "no effect yet: test-time compute comes later";

struct TtcSamplerOptions {
  std::vector<double> tau_range = {0.3, 0.7};
  double noise_std = 0;
  std::optional<std::string> noise_schedule;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("tau_range", s.tau_range, {.doc = "noise levels of candidates", .min = 0, .max = 1, .status = kNo, .advice = kTtcLater});
    v("noise_std", s.noise_std, {.doc = "extra noise", .min = 0, .status = kNo, .advice = kTtcLater});
    v("noise_schedule", s.noise_schedule, {.status = kNo, .advice = kTtcLater, .free_form = false});
  }
};

struct TtcWeightsOptions {
  double mass = 1, momentum = 0, energy = 0, penalty_negative = 0, smoothness = 0;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("mass", s.mass, {.status = kNo, .advice = kTtcLater});
    v("momentum", s.momentum, {.status = kNo, .advice = kTtcLater});
    v("energy", s.energy, {.status = kNo, .advice = kTtcLater});
    v("penalty_negative", s.penalty_negative, {.status = kNo, .advice = kTtcLater});
    v("smoothness", s.smoothness, {.status = kNo, .advice = kTtcLater});
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
    v("weight", s.weight, {.doc = "above 0 is refused: learned critics are not supported", .min = 0, .status = kNo, .advice = kTtcLater});
    v("hidden_dim", s.hidden_dim, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("dropout", s.dropout, {.min = 0, .max = 1, .status = kNo, .advice = kTtcLater});
    v("checkpoint", s.checkpoint, {.status = kNo, .advice = kTtcLater});
  }
};

struct TtcRewardOptions {
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
    v("analytical_weight", s.analytical_weight, {.status = kNo, .advice = kTtcLater});
    v("grid", s.grid, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("mass_field", s.mass_field, {.status = kNo, .advice = kTtcLater});
    v("energy_field", s.energy_field, {.status = kNo, .advice = kTtcLater});
    v("momentum_field", s.momentum_field, {.status = kNo, .advice = kTtcLater});
    v("debug", s.debug, {.status = kNo, .advice = kTtcLater});
    v("weights", s.weights, {.doc = "weights of the reward's terms"});
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
    v("latent_dim", s.latent_dim, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("query_dim", s.query_dim, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("hidden_dim", s.hidden_dim, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("mlp_hidden_dim", s.mlp_hidden_dim, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("num_layers", s.num_layers, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("num_heads", s.num_heads, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("frequencies", s.frequencies, {.min = 0, .status = kNo, .advice = kTtcLater});
    v("output_channels", s.output_channels, {.status = kNo, .advice = kTtcLater, .free_form = true});
  }
};

struct TtcOptions {
  bool enabled = false;
  int64_t steps = 1;
  std::optional<double> dt;
  int64_t candidates = 4, beam_width = 1, horizon = 1;
  std::optional<double> residual_threshold;
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
    v("enabled", s.enabled, {.doc = "choose among candidate steps", .status = kNo, .advice = kTtcLater});
    v("steps", s.steps, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("dt", s.dt, {.min = 0, .status = kNo, .advice = kTtcLater});
    v("candidates", s.candidates, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("beam_width", s.beam_width, {.min = 1, .aliases = {"beam"}, .status = kNo, .advice = kTtcLater});
    v("horizon", s.horizon, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("residual_threshold", s.residual_threshold, {.status = kNo, .advice = kTtcLater});
    v("max_evaluations", s.max_evaluations, {.min = 1, .status = kNo, .advice = kTtcLater});
    v("early_stop_margin", s.early_stop_margin, {.status = kNo, .advice = kTtcLater});
    v("gamma", s.gamma, {.min = 0, .status = kNo, .advice = kTtcLater});
    v("debug", s.debug, {.status = kNo, .advice = kTtcLater});
    v("sampler", s.sampler, {.doc = "how candidates are drawn"});
    v("reward", s.reward, {.doc = "how candidates are scored"});
    v("decoder", s.decoder, {.doc = "UPS's any-point decoder"});
  }
};

// Blocks of UPS inference and sweep files: refused with the program that reads them.
struct ForeignBlocks {
  std::string models, outputs, rollout, eval, suite, method, metric, parameters, early_terminate, command;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kX = KeyStatus::refused;
    constexpr std::string_view kEval = "part of an inference file: use ups-eval";
    constexpr std::string_view kSweep = "part of a sweep file: sweeps come later";
    v("models", s.models, {.status = kX, .advice = kEval, .free_form = true});
    v("outputs", s.outputs, {.status = kX, .advice = kEval, .free_form = true});
    v("rollout", s.rollout, {.status = kX, .advice = kEval, .free_form = true});
    v("eval", s.eval, {.status = kX, .advice = kEval, .free_form = true});
    v("suite", s.suite, {.status = kX, .advice = kEval, .free_form = true});
    v("method", s.method, {.status = kX, .advice = kSweep, .free_form = true});
    v("metric", s.metric, {.status = kX, .advice = kSweep, .free_form = true});
    v("parameters", s.parameters, {.status = kX, .advice = kSweep, .free_form = true});
    v("early_terminate", s.early_terminate, {.status = kX, .advice = kSweep, .free_form = true});
    v("command", s.command, {.status = kX, .advice = kSweep, .free_form = true});
  }
};

}  // namespace ups::run
