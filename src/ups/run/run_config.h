// The whole configuration: every component's options in one struct, loaded strictly, checked once, resolved per stage.
// After load_run_config() nobody checks configuration again. No LibTorch here.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ups/data/options.h"
#include "ups/models/options.h"
#include "ups/optim/options.h"
#include "ups/run/run_options.h"
#include "ups/run/ttc_options.h"
#include "ups/stages/options.h"
#include "ups/train/options.h"
#include "ups/train/stage_settings.h"

namespace ups::run {

struct RunConfig {
  int64_t seed = 17;
  bool deterministic = false;
  std::optional<bool> benchmark;
  std::optional<std::string> precision;
  std::optional<int64_t> threads;
  RunOptions run;
  data::DataOptions data;
  models::LatentOptions latent;
  models::EncoderOptions encoder;
  models::OperatorOptions op;
  models::DiffusionOptions diffusion;
  train::TrainingOptions training;
  optim::OptimizerOptions optimizer;
  stages::StagesOptions stages;
  train::CheckpointOptions checkpoint;
  train::LoggingOptions logging;
  EvaluationOptions evaluation;
  TtcOptions ttc;
  std::string notes;  // free-form, JSON text
  ForeignBlocks foreign;

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("seed", s.seed, {.doc = "of initial weights, data order and sampling", .min = 0, .max = 9.2e18});
    v("deterministic", s.deterministic, {.doc = "CUDA: only deterministic algorithms; forces benchmark off"});
    v("benchmark", s.benchmark, {.doc = "CUDA: let cuDNN time its algorithms; default not deterministic"});
    v("precision", s.precision, {.doc = "type used by amp, over training.amp_dtype; never switches amp on", .choices = {"fp32", "bf16", "fp16"}});
    v("threads", s.threads, {.doc = "CPU threads of LibTorch; default physical cores", .min = 1, .max = 1024});
    v("run", s.run, {.doc = "this run"});
    v("data", s.data, {.doc = "data files, split and normalisation"});
    v("latent", s.latent, {.doc = "the space in which models work"});
    v("encoder", s.encoder, {.doc = "encoders of later UPS versions"});
    v("operator", s.op, {.doc = "the time stepper's network"});
    v("diffusion", s.diffusion, {.doc = "the corrector"});
    v("training", s.training, {.doc = "the training loop, for all stages"});
    v("optimizer", s.optimizer, {.doc = "optimizer and schedule of every stage that has none of its own"});
    v("stages", s.stages, {.doc = "the stages and what differs between them"});
    v("checkpoint", s.checkpoint, {.doc = "checkpoints and exports"});
    v("logging", s.logging, {.doc = "logs and trackers"});
    v("evaluation", s.evaluation, {.doc = "scoring after --stage all"});
    v("ttc", s.ttc, {.doc = "test-time compute: ups-eval chooses among candidate steps"});
    v("notes", s.notes, {.doc = "free-form text or block, kept with the run", .free_form = true});
    ForeignBlocks::fields(s.foreign, v);
  }
};

// The stages in the order of `--stage all`.
inline const std::vector<std::string> kStageNames = {"autoencoder", "operator", "diff_residual", "consistency_distill",
                                                     "steady_prior"};

// From the command line; unset members leave the files' values alone.
struct Overrides {
  std::optional<int64_t> epochs, threads, seed;
  std::optional<std::string> stage;  // one of kStageNames or "all" (the default)
  std::optional<std::string> device, name;
  std::vector<std::string> sets, unsets;  // "a.b=v", "a.b"; unsets act first
  std::vector<std::string> allow_include; // further folders that `include:` may read
  bool allow_env = false;                 // ${env:NAME} in values
  bool allow_overlap = false;             // data.allow_overlap, in every data block
  bool strict = false;                    // notices become errors
};

// Dotted path -> where its value came from: "file:line:col", "--set 1", "--epochs", "environment PDEBENCH_ROOT". Absent = default.
using Origins = std::map<std::string, std::string>;

struct LoadedConfig {
  RunConfig config;
  Origins origins;
  std::vector<std::string> notices;  // one line each, to be printed once
  std::string hash;                  // XXH3-128 of the canonical JSON, 32 hex digits
  std::map<std::string, std::string> redacted;  // paths whose value held ${env:NAME} -> the text as written
  std::string yaml() const;          // resolved; loading it gives the same config
  std::string json() const;
  std::string minimal_yaml() const;  // differences from the defaults
  std::string origins_json() const;  // every key
};

// Default < include < file < later file < environment (PDEBENCH_ROOT) < --epochs/--seed/.. < --set.
// Throws config::ConfigErrors (exit 2) with up to 20 mistakes.
LoadedConfig load_run_config(const std::vector<std::string>& files, const Overrides& overrides);
// The same from text (a saved config.yaml, `init`, tests): includes are refused, the environment is not read.
LoadedConfig load_run_config_text(const std::string& text, const std::string& name, const Overrides& overrides);
// What LoadedConfig::hash holds.
std::string config_hash(const LoadedConfig& loaded);

// The stage block laid over the global blocks (docs/reference/config.md, "Stage over global").
train::StageSettings resolve_stage(const RunConfig& config, const std::string& stage);

// The options of the set that a stage trains on: stages.steady_prior.data when given, else data.
const data::DataOptions& stage_data(const RunConfig& config, const std::string& stage);
// "default" values filled: "flow", "reference", "shortcut", ..
std::string stage_objective(const RunConfig& config, const std::string& stage);
// Effective seed: training.seed, else seed.
uint64_t effective_seed(const RunConfig& config);
// "patch" for auto.
std::string latent_space(const RunConfig& config);
models::PdetOptions operator_pdet(const RunConfig& config);
models::PdetOptions diffusion_pdet(const RunConfig& config);
models::PdetOptions steady_pdet(const RunConfig& config);
// "heun:8" -> {true, 8}.
struct Sampler {
  bool heun = true;
  int64_t steps = 8;
};
Sampler parse_sampler(const std::string& text);
// "30s", "2m", "1h", "90" -> seconds; negative if it does not parse.
double parse_seconds(const std::string& text);

// Keys in which two configurations (as LoadedConfig::json() texts) differ: "training.batch_size: 16 -> 8".
// `resumable` keys may change between a run and its resume: epochs, patience, logging, checkpoint cadence, device, threads, evaluation.
struct ConfigChanges {
  std::vector<std::string> resumable, other;
};
ConfigChanges compare_configs(const std::string& old_json, const std::string& new_json);

// --validate: do the named data files exist? Throws Error (exit 3) naming the key's origin. No LibTorch, no HDF5.
void check_paths(const LoadedConfig& loaded);

}  // namespace ups::run
