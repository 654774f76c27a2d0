// Everything of the loop that must survive a restart, besides tensors. One list of fields serves saving and loading.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace ups::train {

struct RunState {
  // counters
  int64_t attempts = 0;        // steps tried
  int64_t updates = 0;         // steps that changed the weights
  int64_t epoch = 0;           // the open epoch
  int64_t batch = 0;           // next micro-batch of the open epoch
  int64_t samples = 0;         // samples seen
  int64_t skipped = 0, skipped_in_a_row = 0;
  int64_t rollbacks = 0, rollbacks_in_a_row = 0;  // in a row: less than 20 updates apart
  int64_t slow_until = 0;      // update up to which the rates are halved after a rollback
  double loss_average = 0;     // of recent updates; nan_policy rollback compares with it
  int64_t global_step = 0;     // logged epochs over all stages
  bool finished = false;
  // partial sums of the open epoch
  double loss_sum = 0, norm_sum = 0;
  int64_t loss_count = 0, norm_count = 0, epoch_skipped = 0;
  // selection
  double best = 1e300;
  int64_t best_update = -1;
  int64_t epochs_since_improve = 0;
  double last_score = 1e300;
  // schedule and scaler
  double plateau_best = 0;
  int64_t plateau_bad = 0, plateau_cooldown = 0;
  std::vector<double> plateau_lrs;
  double scale = 65536;
  int64_t growth_tracker = 0;
  double ema_count = 0;
  int64_t metrics_bytes = 0;
  double cpu_seconds = 0;      // used so far; only counted under a budget, so that states of equal runs are equal

  template <class S, class F>
  static void visit(S& s, F&& f) {
    f("attempts", s.attempts);
    f("updates", s.updates);
    f("epoch", s.epoch);
    f("batch", s.batch);
    f("samples", s.samples);
    f("skipped", s.skipped);
    f("skipped_in_a_row", s.skipped_in_a_row);
    f("rollbacks", s.rollbacks);
    f("rollbacks_in_a_row", s.rollbacks_in_a_row);
    f("slow_until", s.slow_until);
    f("loss_average", s.loss_average);
    f("global_step", s.global_step);
    f("finished", s.finished);
    f("loss_sum", s.loss_sum);
    f("norm_sum", s.norm_sum);
    f("loss_count", s.loss_count);
    f("norm_count", s.norm_count);
    f("epoch_skipped", s.epoch_skipped);
    f("best", s.best);
    f("best_update", s.best_update);
    f("epochs_since_improve", s.epochs_since_improve);
    f("last_score", s.last_score);
    f("plateau_best", s.plateau_best);
    f("plateau_bad", s.plateau_bad);
    f("plateau_cooldown", s.plateau_cooldown);
    f("plateau_lrs", s.plateau_lrs);
    f("scale", s.scale);
    f("growth_tracker", s.growth_tracker);
    f("ema_count", s.ema_count);
    f("metrics_bytes", s.metrics_bytes);
    f("cpu_seconds", s.cpu_seconds);
  }

  std::string json() const;  // canonical: sorted keys
  static RunState from_json(const std::string& text, const std::string& where);  // exit 4 on missing, unknown or mistyped fields
};

}  // namespace ups::train
