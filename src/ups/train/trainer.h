// The one training loop. A stage supplies the loss; the loop owns accumulation, autocast, scaling, clipping, skipping, schedules,
// EMA, validation, selection, early stop, checkpoints, logging and signals.
//
// Order of one update (optim.md 5):
//   1 draw the micro-batches of the update (the last group of an epoch may be short: weights are samples / samples of the group)
//   2 per micro-batch: autocast forward, loss * weight, scaled backward (training.compile: as a CUDA graph)
//   3 unscale once, global norm (recorded before clipping), one finite flag
//   4 finite: clip, lr = schedule(updates), optimizer, EMA; otherwise nothing changes and the scale is lowered. Adversaries that the loss
//     gave gradients are unscaled, checked and stepped under the same flag
//   5 gradients to none; attempts += 1, updates += 1 only if the weights changed
//   6 ask: log? validate? save? stop?
#pragma once
#include <functional>
#include <deque>
#include <memory>
#include <optional>

#include "ups/io/jsonl.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/grad_scaler.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/schedule.h"
#include "ups/optim/update_stats.h"
#include "ups/train/run_state.h"
#include "ups/train/stage.h"
#include "ups/train/stage_settings.h"
#include "ups/train/step_graphs.h"

namespace ups::train {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// What the trainer hands to a checkpoint: copies by reference, valid during the call.
struct Snapshot {
  NamedTensors model, ema, optim;
  RunState state;
  bool is_best = false, is_last = false;
};

struct Progress {
  std::string stage;
  int64_t epoch = 0, epochs = 0, batch = 0, batches = 0, updates = 0;
  double loss = 0, grad_norm = 0, lr = 0, samples_per_second = 0, seconds_left = 0;
  double last_score = 0, best = 0;
};

// The trainer's outside world; every member may be empty.
struct Hooks {
  std::function<void(const io::JsonLine&)> metrics;
  std::function<void(const io::JsonLine&)> flat_log;       // UPS's flat epoch record (training.log_path)
  std::function<bool()> wants_progress;                    // asked after every update; reading numbers may synchronise a GPU
  std::function<void(const Progress&)> progress;
  std::function<void(const Snapshot&)> checkpoint;
  std::function<void(int64_t epoch)> export_epoch;         // checkpoint_interval
  std::function<int()> stop_signal;                        // 0, or the signal that asks to save and exit
  std::function<bool(const RunState&)> stop_here;          // --stop-after
  std::function<bool()> save_signal;                       // SIGUSR2: save and continue
  std::function<int64_t()> metrics_bytes;
  std::shared_ptr<GraphRecorder> graph_recorder;           // training.compile
  std::function<void(bool on)> forbid_sync;                // --debug-sync: on once an update has its samples, off after it
};

enum class Ending { finished, early_stop, target_reached, signalled, stopped };

struct Outcome {
  Ending ending = Ending::finished;
  int signal = 0;
  RunState state;
};

class Trainer {
 public:
  // device: where the parameters live. Throws Error (exit 2) for optimizer options that do not fit the parameters.
  Trainer(Stage& stage, BatchSource& batches, StageSettings settings, at::Device device, Hooks hooks);
  ~Trainer();
  // Continues from a checkpoint: every tensor by name, exit 4 if one does not fit.
  void resume(const NamedTensors& model, const NamedTensors& ema, const NamedTensors& optim, const RunState& state,
              const std::string& where);
  // global_step: logged epochs of the stages before this one.
  Outcome run(int64_t global_step = 0);
  // Best weights: raw, and averaged (empty without EMA). Defined after run().
  const NamedTensors& best_raw() const { return best_raw_; }
  const NamedTensors& best_average() const { return best_average_; }
  std::string optimizer_summary() const { return optimizer_->summary(); }
  // By epochs; under a CPU budget an upper limit.
  int64_t planned_updates() const;

 private:
  static constexpr int64_t kBudgetSteps = 100000;  // what step schedules count to under a CPU budget
  struct StepResult {
    at::Tensor loss, norm, found_inf;
    at::Tensor groups;  // optim::UpdateStats of an update that gets a record
    std::vector<std::string> term_names;
    at::Tensor terms;   // [terms] of the loss, summed over micro-batches
    at::Tensor norms;   // [N] norm of every gradient; on the CPU only when an update was not finite
    int64_t samples = 0, micro_batches = 0;
  };
  struct Player {       // an adversary with its optimizer
    std::string name;
    optim::ParamList params;
    std::unique_ptr<optim::Optimizer> optimizer;
  };
  struct Saved {        // what a rollback restores
    NamedTensors model, ema, optim;
    double ema_count = 0;
  };
  ForwardPass forward(const MicroBatch& m);  // loss under autocast, weighted and scaled
  void differentiate(const MicroBatch& m, StepResult& result);  // gradients into the parameters; loss and terms are added up
  StepResult update();                       // one optimisation step, the numbered list above
  // Counters, skips, nan_policy. On a CPU at once; on a device the numbers of settle_every updates are read together, so that the
  // loop does not wait: until then a skipped update counts as made, also for the learning rate.
  void account(const StepResult& result);
  void settle();
  void count_update(const StepResult& r, const double* numbers);
  void count_skip(const StepResult& r);
  // Which term of the loss and which parameter's gradient were not finite, in words; reads the device.
  std::string blame(const StepResult& r) const;
  // nan_policy rollback: keeps the last two states of finite weights, every rollback_every updates.
  void keep_state();
  void roll_back(const std::string& why);
  void load_tensors(const NamedTensors& model, const NamedTensors& ema, const NamedTensors& optim, double ema_count, const std::string& where);
  NamedTensors optimizer_state() const;  // with the adversaries'
  bool step_record_due(int64_t update) const;
  void log_step(const StepResult& r, const double* groups, const double* terms);
  void clip(const optim::GradPass& pass);
  void set_learning_rates();
  at::ScalarType amp_type() const;
  double progress() const;                   // 0..1 of the planned updates, or of the CPU budget
  double cpu_used() const;
  bool budget_spent() const;                 // no time is left for more than a validation as long as the last one
  void close_epoch();                        // validation, record, best, patience, scheduler
  bool validation_due() const;
  void take_best(double score);
  void checkpoint(bool is_best, bool is_last);
  void log_epoch(double loss, double norm, const std::optional<Validation>& validation, double seconds);
  void report(const StepResult& result);
  Snapshot snapshot(bool is_best, bool is_last);

  Stage& stage_;
  BatchSource& batches_;
  StageSettings settings_;
  at::Device device_;
  Hooks hooks_;
  optim::ParamList params_;
  std::unique_ptr<optim::Optimizer> optimizer_;
  std::vector<Player> adversaries_;
  std::unique_ptr<optim::Ema> ema_;
  std::deque<Saved> kept_;
  std::unique_ptr<optim::UpdateStats> stats_;  // where records are wanted
  optim::GradScaler scaler_;
  std::unique_ptr<StepGraphs> graphs_;
  optim::EmaClip ema_clip_;
  std::unique_ptr<optim::Plateau> plateau_;
  std::vector<optim::LrSequence> sequences_;
  RunState state_;
  std::vector<StepResult> pending_;  // made, but their numbers are not on the host yet
  NamedTensors best_raw_, best_average_;
  bool stop_ = false, improved_ = false;
  Ending ending_ = Ending::finished;
  double cpu_started_ = 0, validation_cpu_ = 0;
  double epoch_started_ = 0, run_started_ = 0;
  int64_t samples_at_start_ = 0, updates_at_start_ = 0;
  double last_loss_ = 0, last_norm_ = 0;
};

}  // namespace ups::train
