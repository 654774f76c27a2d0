// The `stages` and `ttc` blocks of a configuration.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"
#include "ups/data/options.h"
#include "ups/models/options.h"
#include "ups/optim/options.h"
#include "ups/train/options.h"

namespace ups::stages {

// Overrides of the global blocks. Outer empty = inherit, inner empty (an explicit null) = off.
struct StageCommon {
  std::optional<int64_t> epochs;
  std::optional<optim::OptimizerOptions> optimizer;
  std::optional<optim::SchedulerOptions> scheduler;
  std::optional<std::optional<train::GradClip>> grad_clip;
  std::optional<std::optional<double>> ema_decay;
  std::optional<std::optional<int64_t>> patience;
  std::optional<int64_t> batch_size, accum_steps;
  std::optional<std::optional<bool>> amp, compile;
  std::optional<std::string> nan_policy;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("epochs", s.epochs,
      {.doc = "passes over the train split; a missing value is 0 under --stage all, 1 under --stage <this> (steady_prior 0)", .min = 0, .max = 1e6});
    v("optimizer", s.optimizer, {.doc = "replaces the global optimizer block whole"});
    v("scheduler", s.scheduler, {.doc = "replaces the global schedule whole"});
    v("grad_clip", s.grad_clip, {.doc = "as training.grad_clip; null = off", .min = 0, .max = 1e9, .open_min = true, .choices = {"ema"}});
    v("ema_decay", s.ema_decay, {.doc = "as training.ema_decay; null = off", .min = 0, .max = 1, .open_max = true});
    v("patience", s.patience, {.doc = "as training.patience; null = never stop early", .min = 0, .max = 1e9});
    v("batch_size", s.batch_size, {.doc = "as training.batch_size", .min = 1, .max = 1048576});
    v("accum_steps", s.accum_steps, {.doc = "as training.accum_steps", .min = 1, .max = 1048576});
    v("amp", s.amp, {.doc = "as training.amp; null = off"});
    v("compile", s.compile, {.doc = "as training.compile; null = off"});
    v("nan_policy", s.nan_policy, {.doc = "as training.nan_policy", .choices = {"skip", "rollback", "abort"}});
  }
};

struct LboOptions {
  std::string reduce = "per_sample_mean";
  std::string goals;  // free-form
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("reduce", s.reduce, {.doc = "how samples are combined: mean, the worst, the 8 worst", .choices = {"per_sample_mean", "global_min", "topk"}});
    v("goals", s.goals,
      {.doc = "{term: {type, group, scale, low, high, healthy}}: type minimize_soft, minimize_hard, upper, lower, box, box_asymmetric; scale auto or a "
              "number; terms: reconstruction, points, gradient, spectrum, covariance, kl (vae), realism, total_correlation. Default: the first four",
       .free_form = true});
  }
};

struct DiscriminatorOptions {
  bool patch = false, tc = false;
  std::string loss = "hinge";
  int64_t every = 2;
  double start_frac = 0.4;
  std::optional<optim::OptimizerOptions> optimizer;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("patch", s.patch, {.doc = "patch discriminator of reconstructed fields"});
    v("tc", s.tc, {.doc = "total-correlation discriminator of latents"});
    v("loss", s.loss, {.doc = "of the patch discriminator", .choices = {"hinge", "bce"}});
    v("every", s.every, {.doc = "updates between discriminator updates", .min = 1, .max = 1e6});
    v("start_frac", s.start_frac, {.doc = "share of the training before it starts", .min = 0, .max = 1});
    v("optimizer", s.optimizer, {.doc = "of the discriminators, at a constant rate; default AdamW 2e-4"});
  }
};

// Of the terms of loss sum; the reconstruction has 1.
struct AutoencoderWeights {
  double points = 0.5, gradient = 0.1, spectrum = 0.02, covariance = 0, kl = 1e-6, realism = 0.1, total_correlation = 0.01;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("points", s.points, {.doc = "VRMSE of the point decoder", .min = 0, .max = 1e6});
    v("gradient", s.gradient, {.doc = "L1 of finite differences", .min = 0, .max = 1e6});
    v("spectrum", s.spectrum, {.doc = "L1 of the log energy spectrum", .min = 0, .max = 1e6});
    v("covariance", s.covariance, {.doc = "squared correlations between latent channels", .min = 0, .max = 1e6});
    v("kl", s.kl, {.doc = "kind vae: summed over the latent", .min = 0, .max = 1e6});
    v("realism", s.realism, {.doc = "patch discriminator, relative to the reconstruction's gradient", .min = 0, .max = 1e6});
    v("total_correlation", s.total_correlation, {.doc = "of the latent channels", .min = 0, .max = 1e6});
  }
};

struct AutoencoderStage : StageCommon {
  std::string kind = "ae", loss = "sum";
  double latent_noise = 0.01;
  AutoencoderWeights weights;
  LboOptions lbo;
  DiscriminatorOptions discriminator;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    StageCommon::fields(s, v);
    v("kind", s.kind, {.doc = "ae, vae (variational); none = skip the stage", .choices = {"ae", "vae", "none", "reference"}});
    v("loss", s.loss, {.doc = "weighted sum of terms, or the barrier loss: -log of the worst group's score", .choices = {"sum", "lbo"}});
    v("latent_noise", s.latent_noise, {.doc = "standard deviation of noise on latents before decoding", .min = 0, .max = 10});
    v("weights", s.weights, {.doc = "loss sum: weights of the terms"});
    v("lbo", s.lbo, {.doc = "the barrier loss"});
    v("discriminator", s.discriminator, {.doc = "adversarial training"});
  }
};

struct RolloutOptions {
  std::string mode = "none";
  int64_t steps = 2;
  double start_frac = 0.7;
  double noise = 0.01;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("mode", s.mode,
      {.doc = "none = one step; noise on the input; pushforward = no gradient through earlier steps; unroll = full gradient",
       .choices = {"none", "noise", "pushforward", "unroll"}});
    v("steps", s.steps, {.doc = "steps of pushforward and unroll; 0 = to the end: a sample is a whole trajectory", .min = 0, .max = 64});
    v("start_frac", s.start_frac, {.doc = "share of the updates before the mode starts", .min = 0, .max = 1});
    v("noise", s.noise, {.doc = "mode noise: standard deviation, in units of the normalised state", .min = 0, .max = 10});
  }
};

struct OperatorStage : StageCommon {
  std::string objective = "default", spectral_loss = "binned";
  RolloutOptions rollout;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    StageCommon::fields(s, v);
    v("objective", s.objective,
      {.doc = "default = error relative to the state, mean over steps, in units of persistence; mse = sum over steps of the mean squared error of the normalised state; "
              "reference = UPS's loss and head",
       .choices = {"default", "mse", "reference"}});
    v("spectral_loss", s.spectral_loss,
      {.doc = "form of lambda_spectral: binned log energy of decoded fields, or UPS's", .choices = {"binned", "reference"}});
    v("rollout", s.rollout, {.doc = "training on the model's own states"});
  }
};

struct DiffResidualStage : StageCommon {
  std::optional<std::string> objective;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    StageCommon::fields(s, v);
    v("objective", s.objective, {.doc = "default diffusion.objective", .choices = {"flow", "edm", "refiner", "crps", "reference"}});
  }
};

struct ConsistencyStage : StageCommon {
  std::string objective = "shortcut";
  std::optional<std::vector<int64_t>> tau_schedule;
  double target_loss = 0;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    StageCommon::fields(s, v);
    v("objective", s.objective, {.doc = "how few-step sampling is learned: shortcut = a step as two halves; cd = consistency along the teacher's path; direct = the end of its path",
       .choices = {"shortcut", "cd", "direct", "reference"}});
    v("tau_schedule", s.tau_schedule, {.doc = "noise levels drawn per sample in each epoch; the last entry repeats", .min = 1, .max = 1024});
    v("target_loss", s.target_loss, {.doc = "stop when the best loss is at or below; 0 = never", .min = 0, .max = 1e9});
  }
};

struct SteadyPriorStage : StageCommon {
  std::string objective = "flow";
  std::optional<double> null_token_share;
  std::vector<int64_t> warm_start_iters = {5, 10, 20};
  std::optional<data::DataOptions> data;
  std::optional<models::PdetOptions> pdet;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    StageCommon::fields(s, v);
    v("objective", s.objective,
      {.doc = "flow = flow matching from coefficients to the solution; attractor = unconditional flow matching of the frames of a set whose times are all late; "
              "reference = UPS's residual MLP",
       .choices = {"flow", "attractor", "reference"}});
    v("null_token_share", s.null_token_share,
      {.doc = "share of each batch that trains the deterministic mean mode; 1 = the mean mode alone, without samples; default diffusion.null_token_share", .min = 0, .max = 1});
    v("warm_start_iters", s.warm_start_iters, {.doc = "solver iterations after which errors are reported", .min = 1, .max = 100000});
    v("data", s.data, {.doc = "a steady data set of its own: same keys as the data block; default the data block"});
    v("pdet", s.pdet, {.doc = "sizes of the prior's network; default those of operator.pdet"});
  }
};

struct BaselineStage : StageCommon {
  std::string model = "fno", recipe = "fixed";
  std::optional<std::string> log_path;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "no effect yet: trained baselines come later";
    StageCommon::fields(s, v);
    v("model", s.model, {.doc = "trained baseline", .choices = {"fno", "unet"}, .status = kNo, .advice = kWhy});
    v("recipe", s.recipe, {.doc = "training recipe", .choices = {"fixed", "pdebench"}, .status = kNo, .advice = kWhy});
    v("log_path", s.log_path, {.status = kNo, .advice = kWhy});
  }
};

struct StagesOptions {
  AutoencoderStage autoencoder;
  OperatorStage op;
  DiffResidualStage diff_residual;
  ConsistencyStage consistency_distill;
  SteadyPriorStage steady_prior;
  BaselineStage baseline;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("autoencoder", s.autoencoder, {.doc = "trained latent space, used with latent.space: ae"});
    v("operator", s.op, {.doc = "the time stepper"});
    v("diff_residual", s.diff_residual, {.doc = "corrector of the operator's residual"});
    v("consistency_distill", s.consistency_distill, {.doc = "few-step sampling of the corrector"});
    v("steady_prior", s.steady_prior, {.doc = "prior of steady problems"});
    v("baseline", s.baseline, {.doc = "trained baselines (come later)"});
  }
};

}  // namespace ups::stages
