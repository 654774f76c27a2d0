// Compiled with -ffp-contract=off: a fused multiply-add would change the last bits against Python.
#include "ups/optim/schedule.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ups::optim {
namespace {

constexpr double kPi = 3.141592653589793;

int64_t length_or(int64_t steps, double fraction, int64_t total) {
  if (steps > 0) return steps;
  return static_cast<int64_t>(std::llround(fraction * static_cast<double>(total)));
}

double warmup_factor(int64_t warmup, int64_t i) {
  return i + 1 >= warmup ? 1.0 : static_cast<double>(i + 1) / static_cast<double>(warmup);
}

// Closed forms: the schedules that PyTorch builds by chaining.
double closed_form(const SchedulerOptions& o, double base, int64_t i, int64_t total, int64_t warmup) {
  const double x = static_cast<double>(i), n = static_cast<double>(total), w = static_cast<double>(warmup);
  if (o.name == "linear") {
    const double t = total > 0 ? std::min(1.0, x / n) : 1.0;
    return base * (1.0 + (o.end_factor - 1.0) * t);
  }
  if (o.name == "warmup_cosine") {
    if (i < warmup) return base * (x + 1) / w;
    if (i >= total) return o.eta_min;
    return o.eta_min + (base - o.eta_min) * (1 + std::cos(kPi * (x - w) / (n - w))) / 2;
  }
  if (o.name == "wsd") {
    const int64_t decay = std::min(length_or(o.decay_steps, o.decay_fraction, total), total);
    const int64_t start = total - decay;
    if (i < start || decay <= 0) return base;
    const double t = std::min(1.0, static_cast<double>(i - start) / static_cast<double>(decay));
    const double shape = o.decay_shape == "sqrt" ? std::sqrt(t) : t;
    return base * (1.0 - (1.0 - o.final_factor) * shape);
  }
  return base;
}

}  // namespace

LrSequence::LrSequence(SchedulerOptions options, double base, int64_t total)
    : options_(std::move(options)), base_(base), recursive_(base), total_(total) {
  if (options_.total_steps > 0) total_ = options_.total_steps;
}

double LrSequence::at(int64_t i) {
  const auto& o = options_;
  const int64_t warmup = length_or(o.warmup_steps, o.warmup_fraction, total_);
  double lr = base_;
  if (o.name == "steplr" || o.name == "cosineannealinglr") {
    if (i < position_) {
      position_ = 0;
      recursive_ = base_;
    }
    const bool cosine = o.name == "cosineannealinglr";
    const double t = static_cast<double>(o.t_max);
    const int64_t step = o.step_fraction > 0 ? std::max<int64_t>(1, length_or(0, o.step_fraction, total_)) : o.step_size;
    while (position_ < i) {
      const int64_t k = ++position_;
      const double x = static_cast<double>(k);
      if (!cosine) {
        if (k % step == 0) recursive_ *= o.gamma;
      } else if ((k - 1 - o.t_max) % (2 * o.t_max) == 0) {
        recursive_ += (base_ - o.eta_min) * (1 - std::cos(kPi / t)) / 2;
      } else {
        recursive_ = (1 + std::cos(kPi * x / t)) / (1 + std::cos(kPi * (x - 1) / t)) * (recursive_ - o.eta_min) + o.eta_min;
      }
    }
    lr = recursive_;
  } else {
    lr = closed_form(o, base_, i, total_, warmup);
    if (o.name == "warmup_cosine" || o.is_plateau() || o.name == "none") return lr;
  }
  return warmup > 0 ? lr * warmup_factor(warmup, i) : lr;
}

double lr_at(const SchedulerOptions& options, double base, int64_t i, int64_t total) {
  return LrSequence(options, base, total).at(i);
}

Plateau::Plateau(const SchedulerOptions& options, std::vector<double> base_lrs) : options_(options) {
  state_.best = options.mode == "min" ? std::numeric_limits<double>::infinity() : -std::numeric_limits<double>::infinity();
  state_.lrs = std::move(base_lrs);
}

bool Plateau::better(double a) const {
  const double best = state_.best, thr = options_.threshold;
  const bool relative = options_.threshold_mode == "rel";
  if (options_.mode == "min") return relative ? a < best * (1.0 - thr) : a < best - thr;
  return relative ? a > best * (thr + 1.0) : a > best + thr;
}

void Plateau::observe(double metric) {
  if (better(metric)) {
    state_.best = metric;
    state_.bad = 0;
  } else {
    ++state_.bad;
  }
  if (state_.cooldown > 0) {
    --state_.cooldown;
    state_.bad = 0;
  }
  if (state_.bad <= options_.patience) return;
  for (double& lr : state_.lrs) {
    const double reduced = std::max(lr * options_.factor, options_.min_lr);
    if (lr - reduced > options_.eps) lr = reduced;
  }
  state_.cooldown = options_.cooldown;
  state_.bad = 0;
}

double momentum_at(double from, double target, int64_t i, int64_t updates) {
  if (updates <= 0 || i >= updates) return target;
  return from + (target - from) * static_cast<double>(i) / static_cast<double>(updates);
}

}  // namespace ups::optim
