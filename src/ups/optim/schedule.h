// Learning-rate schedules as pure functions of an index; equal to PyTorch's sequences in every bit where PyTorch has them.
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "ups/optim/options.h"

namespace ups::optim {

// Rate in force at index i (epochs finished or updates done, see SchedulerOptions::counts_steps) of a group with this base rate.
// total: planned length in the same unit, used where the options leave it open. reducelronplateau returns base: see Plateau.
double lr_at(const SchedulerOptions& options, double base, int64_t i, int64_t total);

// lr_at for ascending i in O(1) per call. (StepLR and cosine are recursions: lr_at alone costs O(i).)
class LrSequence {
 public:
  LrSequence(SchedulerOptions options, double base, int64_t total);
  double at(int64_t i);

 private:
  SchedulerOptions options_;
  double base_, recursive_;
  int64_t total_, position_ = 0;
};

// torch.optim.lr_scheduler.ReduceLROnPlateau in fp64. NaN counts as bad.
class Plateau {
 public:
  struct State {
    double best = 0;
    int64_t bad = 0, cooldown = 0;
    std::vector<double> lrs;  // per group
  };
  Plateau(const SchedulerOptions& options, std::vector<double> base_lrs);
  void observe(double metric);
  const std::vector<double>& lrs() const { return state_.lrs; }
  const State& state() const { return state_; }
  void load_state(State state) { state_ = std::move(state); }

 private:
  bool better(double value) const;
  SchedulerOptions options_;
  State state_;
};

// Momentum that grows linearly from `from` to `target` over the first `updates` updates.
double momentum_at(double from, double target, int64_t i, int64_t updates);

}  // namespace ups::optim
