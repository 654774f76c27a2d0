// What the trainer reads for one stage: the stage block laid over the global block, resolved once by run/run_config.
#pragma once
#include <cstdint>
#include <optional>
#include <string>

#include "ups/optim/options.h"

namespace ups::train {

struct StageSettings {
  std::string stage;                      // config key: operator, diff_residual, consistency_distill, steady_prior
  int64_t epochs = 0;
  int64_t batch_size = 16;                // samples per micro-batch
  int64_t accum_steps = 1;                // micro-batches per update
  optim::OptimizerOptions optimizer;
  optim::SchedulerOptions scheduler;      // name "none" = constant
  enum class Clip { off, fixed, ema } clip = Clip::off;
  double clip_norm = 1.0;
  std::optional<double> ema_decay;
  std::optional<int64_t> patience;        // stop after patience + 1 validations without improvement
  bool amp = false;
  std::string amp_dtype = "bfloat16";     // bfloat16 | float16
  std::string nan_policy = "skip";        // skip | rollback | abort
  int64_t rollback_every = 200;           // updates between snapshots of nan_policy rollback
  int64_t validate_every = 1;             // epochs
  int64_t checkpoint_every = 1;           // epochs between resumable checkpoints, 0 = only at the end
  int64_t checkpoint_interval = 0;        // epochs between exported <name>_epoch_N.pt, 0 = off
  int64_t settle_every = 50;              // updates between two reads of loss and finite flag from a device; a CPU reads each
  double cpu_seconds = 0;                 // end of training by CPU time, validation included; 0 = by epochs alone
  bool compile = false;                   // CUDA graphs of forward and backward (step_graphs.h)
  int64_t compile_warmup = 10;            // micro-batches of one signature before its graph is recorded
  int64_t time_stride = 1;
  int64_t workers = 0;
  bool reference_semantics = false;       // training.semantics: reference
  uint64_t seed = 17;
};

}  // namespace ups::train
