// The `training`, `checkpoint` and `logging` blocks of a configuration.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ups/core/fields.h"

namespace ups::train {

// A fixed norm, or "ema": clip to 1.1x the fast EMA of the norm when it exceeds 2x the slow one.
using GradClip = std::variant<double, std::string>;

inline constexpr std::string_view kDecoderLater = "no effect yet: needs the trained decoder, which comes later";

struct QueryCurriculumOptions {
  bool enabled = false;
  std::optional<int64_t> start_queries, end_queries, warmup_epochs;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kStatus = KeyStatus::no_effect;
    v("enabled", s.enabled, {.doc = "grow the number of query points", .status = kStatus, .advice = kDecoderLater});
    v("start_queries", s.start_queries, {.min = 1, .status = kStatus, .advice = kDecoderLater});
    v("end_queries", s.end_queries, {.min = 1, .status = kStatus, .advice = kDecoderLater});
    v("warmup_epochs", s.warmup_epochs, {.min = 0, .status = kStatus, .advice = kDecoderLater});
  }
};

struct QuerySamplingOptions {
  bool enabled = false;
  std::optional<int64_t> num_queries;
  std::string strategy = "uniform";
  QueryCurriculumOptions curriculum;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kStatus = KeyStatus::no_effect;
    v("enabled", s.enabled, {.doc = "train decoders on random points", .status = kStatus, .advice = kDecoderLater});
    v("num_queries", s.num_queries, {.min = 1, .status = kStatus, .advice = kDecoderLater});
    v("strategy", s.strategy, {.choices = {"uniform", "stratified"}, .status = kStatus, .advice = kDecoderLater});
    v("curriculum", s.curriculum, {.doc = "growth of the number of points"});
  }
};

struct PhysicsPriorOptions {
  bool enabled = false;
  double lambda_divergence = 0, lambda_conservation = 0, lambda_boundary = 0, lambda_positivity = 0;
  double lambda_latent_norm = 0, lambda_latent_diversity = 0, bc_value = 0;
  std::string bc_type = "all";
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kStatus = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "no effect yet: physics priors come later";
    v("enabled", s.enabled, {.doc = "penalties on decoded fields", .status = kStatus, .advice = kWhy});
    v("lambda_divergence", s.lambda_divergence, {.min = 0, .status = kStatus, .advice = kWhy});
    v("lambda_conservation", s.lambda_conservation, {.min = 0, .status = kStatus, .advice = kWhy});
    v("lambda_boundary", s.lambda_boundary, {.min = 0, .status = kStatus, .advice = kWhy});
    v("lambda_positivity", s.lambda_positivity, {.min = 0, .status = kStatus, .advice = kWhy});
    v("lambda_latent_norm", s.lambda_latent_norm, {.min = 0, .status = kStatus, .advice = kWhy});
    v("lambda_latent_diversity", s.lambda_latent_diversity, {.min = 0, .status = kStatus, .advice = kWhy});
    v("bc_value", s.bc_value, {.status = kStatus, .advice = kWhy});
    v("bc_type", s.bc_type, {.status = kStatus, .advice = kWhy});
  }
};

struct TauDistributionOptions {
  std::string type = "uniform";
  double alpha = 1.2, beta = 1.2;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kStatus = KeyStatus::reference;
    v("type", s.type, {.doc = "how objective reference draws tau", .choices = {"uniform", "beta"}, .status = kStatus});
    v("alpha", s.alpha, {.doc = "of the beta distribution", .min = 0, .max = 1000, .open_min = true, .status = kStatus});
    v("beta", s.beta, {.doc = "of the beta distribution", .min = 0, .max = 1000, .open_min = true, .status = kStatus});
  }
};

struct TrainingOptions {
  int64_t batch_size = 16;
  double dt = 0.1;
  int64_t time_stride = 1, rollout_horizon = 1;
  std::optional<int64_t> patience;
  std::optional<int64_t> num_workers;
  std::optional<bool> pin_memory;
  std::optional<int64_t> prefetch_factor;
  std::optional<bool> persistent_workers, use_parallel_encoding, use_preloaded_cache;
  std::optional<std::string> latent_cache_dir;
  std::string latent_cache_dtype = "float32";
  int64_t checkpoint_interval = 0;
  bool amp = false;
  std::string amp_dtype = "bfloat16";
  bool compile = false;
  int64_t compile_warmup = 10;
  std::optional<std::string> compile_mode;
  std::optional<bool> torch_inductor_disable_cudagraphs, dynamo_suppress_errors;
  std::optional<GradClip> grad_clip;
  std::string grad_clip_scope = "all";
  std::optional<double> ema_decay;
  int64_t accum_steps = 1;
  std::optional<bool> grad_clip_per_param;
  double lambda_spectral = 0, lambda_relative = 0, lambda_rollout = 0;
  double lambda_inv_enc = 0, lambda_inv_dec = 0;
  bool use_inverse_losses = false;
  int64_t inverse_loss_frequency = 1, inverse_loss_warmup_epochs = 15;
  double inverse_loss_max_weight = 0.05;
  std::optional<int64_t> inv_enc_query_points, inv_dec_query_points;
  QuerySamplingOptions query_sampling;
  PhysicsPriorOptions physics_priors;
  TauDistributionOptions tau_distribution;
  double tau = 0.5;
  int64_t distill_num_taus = 3;
  std::optional<int64_t> distill_micro_batch;
  double distill_target_loss = 0;
  std::string log_path = "reports/training_log.jsonl";
  bool log_per_task_metrics = false;
  std::string device = "auto";
  int64_t num_gpus = 1;
  std::optional<int64_t> seed;
  std::string nan_policy = "skip";
  int64_t rollback_every = 200;
  std::optional<int64_t> nan_check_every;
  int64_t validate_every = 1;
  double cpu_seconds = 0;
  std::string select = "val_rollout_nrmse";
  std::string semantics = "default";
  std::optional<bool> use_fsdp2, cpu_offload_optimizer, lightning_profile;
  std::optional<int64_t> max_epochs, log_every_n_steps, check_val_every_n_epochs;
  bool tune_batch_size = false, tune_lr = false;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kPython = "has no meaning outside Python";
    v("batch_size", s.batch_size, {.doc = "samples per micro-batch and process", .min = 1, .max = 1048576});
    v("dt", s.dt, {.doc = "time step given to the reference operator; elsewhere the file's spacing rules", .min = 0, .max = 1e9, .open_min = true});
    v("time_stride", s.time_stride, {.doc = "frames between input and target", .min = 1, .max = 100000});
    v("rollout_horizon", s.rollout_horizon, {.doc = "steps of lambda_rollout's loss", .min = 1, .max = 10000});
    v("patience", s.patience, {.doc = "stop after patience + 1 validations without improvement; null = never", .min = 0, .max = 1e9});
    v("num_workers", s.num_workers, {.doc = "reader threads; 0 = read in the training thread; default cores / 4", .min = 0, .max = 256});
    v("pin_memory", s.pin_memory, {.doc = "page-locked batches; default on CUDA"});
    v("prefetch_factor", s.prefetch_factor, {.doc = "batches ahead per reader thread", .min = 1, .max = 1024});
    v("persistent_workers", s.persistent_workers, {.status = kNo, .advice = "reader threads always persist"});
    v("use_parallel_encoding", s.use_parallel_encoding, {.status = kNo, .advice = kPython});
    v("use_preloaded_cache", s.use_preloaded_cache, {.status = kNo, .advice = kPython});
    v("latent_cache_dir", s.latent_cache_dir,
      {.doc = "folder of encoded data", .aliases = {"cache_dir"}, .status = kNo, .advice = "no effect yet: latents are not cached in patch space"});
    v("latent_cache_dtype", s.latent_cache_dtype,
      {.doc = "number format of the cache", .choices = {"float32", "float16"}, .status = kNo, .advice = "no effect yet: latents are not cached in patch space"});
    v("checkpoint_interval", s.checkpoint_interval, {.doc = "epochs between exported <name>_epoch_N.pt; 0 = off", .min = 0, .max = 1e9});
    v("amp", s.amp, {.doc = "mixed precision (autocast)"});
    v("amp_dtype", s.amp_dtype, {.doc = "autocast type; float16 uses a loss scaler", .choices = {"bfloat16", "float16", "bf16", "fp16"}});
    v("compile", s.compile, {.doc = "records forward and backward pass as CUDA graphs, one per shape of a batch; no effect on a CPU"});
    v("compile_warmup", s.compile_warmup, {.doc = "micro-batches of one shape that run before its graph is recorded", .min = 3, .max = 1e6});
    v("compile_mode", s.compile_mode, {.status = kNo, .advice = kPython});
    v("torch_inductor_disable_cudagraphs", s.torch_inductor_disable_cudagraphs, {.status = kNo, .advice = kPython});
    v("dynamo_suppress_errors", s.dynamo_suppress_errors, {.status = kNo, .advice = kPython});
    v("grad_clip", s.grad_clip,
      {.doc = "largest gradient norm; ema = follow the norm's moving average; null = off", .min = 0, .max = 1e9, .open_min = true, .choices = {"ema"}});
    v("grad_clip_scope", s.grad_clip_scope, {.doc = "clip all gradients, or those of AdamW groups only", .choices = {"all", "adamw"}});
    v("ema_decay", s.ema_decay, {.doc = "moving average of the weights; validated and exported as best when set", .min = 0, .max = 1, .open_max = true});
    v("accum_steps", s.accum_steps, {.doc = "micro-batches per update", .min = 1, .max = 1048576});
    v("grad_clip_per_param", s.grad_clip_per_param, {.status = kNo, .advice = "UPS never reads it either"});
    v("lambda_spectral", s.lambda_spectral, {.doc = "weight of the spectral loss on decoded fields", .min = 0, .max = 1e6});
    v("lambda_relative", s.lambda_relative, {.doc = "weight of the nRMSE loss on decoded fields", .min = 0, .max = 1e6});
    v("lambda_rollout", s.lambda_rollout, {.doc = "weight of the rollout loss", .min = 0, .max = 1e6});
    v("lambda_inv_enc", s.lambda_inv_enc, {.doc = "inverse encoding loss", .min = 0, .max = 1e6, .status = kNo, .advice = kDecoderLater});
    v("lambda_inv_dec", s.lambda_inv_dec, {.doc = "inverse decoding loss", .min = 0, .max = 1e6, .status = kNo, .advice = kDecoderLater});
    v("use_inverse_losses", s.use_inverse_losses,
      {.doc = "switches the inverse losses on", .aliases = {"use_upt_inverse_losses"}, .status = kNo, .advice = kDecoderLater});
    v("inverse_loss_frequency", s.inverse_loss_frequency, {.doc = "batches between inverse losses", .min = 1, .status = kNo, .advice = kDecoderLater});
    v("inverse_loss_warmup_epochs", s.inverse_loss_warmup_epochs, {.doc = "epochs with weight 0", .min = 0, .status = kNo, .advice = kDecoderLater});
    v("inverse_loss_max_weight", s.inverse_loss_max_weight, {.doc = "cap of the weights", .min = 0, .status = kNo, .advice = kDecoderLater});
    v("inv_enc_query_points", s.inv_enc_query_points, {.min = 1, .status = kNo, .advice = kDecoderLater});
    v("inv_dec_query_points", s.inv_dec_query_points, {.min = 1, .status = kNo, .advice = kDecoderLater});
    v("query_sampling", s.query_sampling, {.doc = "random query points (later UPS versions)"});
    v("physics_priors", s.physics_priors, {.doc = "physics penalties (later UPS versions)"});
    v("tau_distribution", s.tau_distribution, {.doc = "noise levels of objective reference"});
    v("tau", s.tau, {.doc = "noise level of the reference corrector at evaluation", .min = 0, .max = 1, .status = KeyStatus::reference});
    v("distill_num_taus", s.distill_num_taus, {.doc = "consistency_distill: noise levels drawn per sample", .min = 1, .max = 1024});
    v("distill_micro_batch", s.distill_micro_batch, {.doc = "consistency_distill: samples per forward pass; null = all", .min = 1, .max = 1048576});
    v("distill_target_loss", s.distill_target_loss, {.doc = "consistency_distill: stop when the best loss is at or below; 0 = never", .min = 0, .max = 1e9});
    v("log_path", s.log_path, {.doc = "UPS's flat JSONL log, in the run directory"});
    v("log_per_task_metrics", s.log_per_task_metrics, {.doc = "log the loss of every task of a mixed run"});
    v("device", s.device, {.doc = "auto, cpu, cuda or cuda:N"});
    v("num_gpus", s.num_gpus, {.doc = "processes of a distributed run; checked against the launcher", .min = 1, .max = 65536});
    v("seed", s.seed, {.doc = "overrides the top-level seed", .min = 0, .max = 9.2e18});
    v("nan_policy", s.nan_policy,
      {.doc = "after a non-finite loss or gradient: skip the update; rollback: also return to an earlier state, as after a loss of 10 times its average; or abort", .choices = {"skip", "rollback", "abort"}});
    v("rollback_every", s.rollback_every, {.doc = "updates between rollback snapshots", .min = 1, .max = 1e9});
    v("nan_check_every", s.nan_check_every, {.doc = "updates between two reads of loss and finite flag from a GPU; default 50. On a CPU every update is read", .min = 1, .max = 1e9});
    v("validate_every", s.validate_every, {.doc = "epochs between validations", .min = 1, .max = 1e9});
    v("cpu_seconds", s.cpu_seconds,
      {.doc = "budget of a stage in CPU time of the process, validation included: training ends there (or after `epochs`), and schedules that count "
              "steps follow the used share; 0 = none. Results then depend on the speed of the machine",
       .min = 0, .max = 1e9});
    v("select", s.select, {.doc = "what makes a checkpoint the best", .choices = {"val_rollout_nrmse", "val_loss", "train_loss"}});
    v("semantics", s.semantics, {.doc = "reference = UPS's loop rules (see docs/explanation)", .choices = {"default", "reference"}});
    v("use_fsdp2", s.use_fsdp2, {.status = kNo, .advice = "concerns memory layout only"});
    v("cpu_offload_optimizer", s.cpu_offload_optimizer, {.status = kNo, .advice = "concerns memory layout only"});
    v("lightning_profile", s.lightning_profile, {.status = kNo, .advice = "concerns Lightning only"});
    v("max_epochs", s.max_epochs, {.status = kNo, .advice = "concerns Lightning only; set stages.<name>.epochs"});
    v("log_every_n_steps", s.log_every_n_steps, {.status = kNo, .advice = "concerns Lightning only; see logging.every"});
    v("check_val_every_n_epochs", s.check_val_every_n_epochs, {.status = kNo, .advice = "concerns Lightning only; see training.validate_every"});
    v("tune_batch_size", s.tune_batch_size, {.doc = "true is refused", .status = kNo, .advice = "batch sizes are not tuned automatically"});
    v("tune_lr", s.tune_lr, {.doc = "true is refused", .status = kNo, .advice = "learning rates are not tuned automatically"});
  }
};

struct CheckpointOptions {
  std::string dir = "checkpoints";
  std::optional<std::string> op, diffusion;
  int64_t every = 1, keep = 3;
  bool keep_best = true;
  std::string verify = "files", sign = "none";
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("dir", s.dir, {.doc = "folder of exported weights, in the run directory"});
    v("operator", s.op, {.doc = "weight file (UPS evaluation files)", .status = KeyStatus::no_effect, .advice = "ups-eval --operator FILE"});
    v("diffusion", s.diffusion, {.doc = "weight file (UPS evaluation files)", .status = KeyStatus::no_effect, .advice = "ups-eval --diffusion FILE"});
    v("every", s.every, {.doc = "epochs between resumable checkpoints; 0 = only at the end", .min = 0, .max = 1e9});
    v("keep", s.keep, {.doc = "newest checkpoints kept per stage", .min = 1, .max = 1e6});
    v("keep_best", s.keep_best, {.doc = "never delete the best checkpoint"});
    v("verify", s.verify, {.doc = "on load: hashes of files, or also of every tensor", .choices = {"files", "full"}});
    v("sign", s.sign,
      {.doc = "add SHA-256 per file", .choices = {"none", "sha256"}, .status = KeyStatus::no_effect, .advice = "no effect yet: signing comes later"});
  }
};

struct WandbOptions {
  bool enabled = false;
  std::string project = "universal-simulator";
  std::optional<std::string> entity, run_name, group, job_type, notes;
  std::vector<std::string> tags;
  std::string config;  // free-form
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    constexpr std::string_view kWhy = "no effect yet: tracker files come later; metrics.jsonl holds everything";
    v("enabled", s.enabled, {.doc = "write an offline W&B file", .status = kNo, .advice = kWhy});
    v("project", s.project, {.status = kNo, .advice = kWhy});
    v("entity", s.entity, {.status = kNo, .advice = kWhy});
    v("run_name", s.run_name, {.status = kNo, .advice = kWhy});
    v("tags", s.tags, {.status = kNo, .advice = kWhy});
    v("group", s.group, {.status = kNo, .advice = kWhy});
    v("job_type", s.job_type, {.status = kNo, .advice = kWhy});
    v("notes", s.notes, {.status = kNo, .advice = kWhy});
    v("config", s.config, {.doc = "free-form", .status = kNo, .advice = kWhy, .free_form = true});
  }
};

struct LoggingOptions {
  WandbOptions wandb;
  std::string level = "INFO";
  std::optional<std::string> backend;
  bool tensorboard = true, csv = false;
  std::string every = "30s";
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("wandb", s.wandb, {.doc = "Weights & Biases, offline only"});
    v("level", s.level, {.doc = "console log level", .choices = {"DEBUG", "INFO", "WARNING", "WARN", "ERROR", "OFF"}});
    v("backend", s.backend, {.status = KeyStatus::no_effect, .advice = "logs go to stderr and run.log"});
    v("tensorboard", s.tensorboard,
      {.doc = "write TensorBoard events", .status = KeyStatus::no_effect, .advice = "no effect yet: tracker files come later"});
    v("csv", s.csv, {.doc = "write metrics.csv", .status = KeyStatus::no_effect, .advice = "no effect yet: tracker files come later"});
    v("every", s.every, {.doc = "time between progress lines when stderr is no terminal: 30s, 2m"});
  }
};

}  // namespace ups::train
