#include "ups/optim/options.h"

#include <fmt/format.h>

#include <array>

#include "ups/core/error.h"

namespace ups::optim {

bool uses_key(const OptimizerOptions& o, std::string_view key) {
  constexpr std::array adam{"betas", "eps", "amsgrad"};
  constexpr std::array sgd{"momentum", "nesterov", "dampening"};
  constexpr std::array shared{"name", "lr", "weight_decay", "scheduler"};
  auto in = [&](const auto& keys) {
    for (const char* k : keys)
      if (key == k) return true;
    return false;
  };
  if (in(shared)) return true;
  if (in(sgd)) return o.name == "sgd";
  if (o.is_hybrid()) return key != "amsgrad";
  if (key == "cautious_decay") return o.name == "adamw";
  return in(adam) && (o.name == "adam" || o.name == "adamw");
}

void validate(const OptimizerOptions& o, const std::string& path) {
  auto fail = [&](const char* key, std::string what, std::string hint) {
    throw usage_error(path + "." + key, std::move(what), std::move(hint));
  };
  if (o.betas.size() != 2) fail("betas", fmt::format("has {} numbers", o.betas.size()), "give two, for example [0.9, 0.999]");
  if (o.name == "sgd" && o.nesterov && (o.momentum <= 0 || o.dampening != 0))
    fail("nesterov", fmt::format("needs momentum > 0 and dampening 0, found {} and {}", o.momentum, o.dampening),
         "set dampening: 0 and momentum: 0.9");
  if (o.muon_schedule == "custom" && o.muon_coefficients.empty())
    fail("muon_coefficients", "is empty, but muon_schedule is custom", "give [a, b, c] per step");
  if (o.muon_schedule != "custom" && !o.muon_coefficients.empty())
    fail("muon_coefficients", fmt::format("has no effect with muon_schedule {}", o.muon_schedule), "set muon_schedule: custom");
  for (const auto& row : o.muon_coefficients)
    if (row.size() != 3) fail("muon_coefficients", fmt::format("has an entry of {} numbers", row.size()), "each is [a, b, c]");
  for (const auto& [pattern, split] : o.muon_split) {
    const int set = (split.rows.empty() ? 0 : 1) + (split.heads ? 1 : 0) + (split.modes ? 1 : 0);
    if (set != 1) fail("muon_split", fmt::format("'{}' sets {} of rows, heads and modes", pattern, set), "set exactly one");
  }
}

void validate(const SchedulerOptions& o, const std::string& path) {
  auto fail = [&](const char* key, std::string what, std::string hint) {
    throw usage_error(path + "." + key, std::move(what), std::move(hint));
  };
  if (o.total_steps > 0 && o.warmup_steps >= o.total_steps && (o.name == "warmup_cosine" || o.name == "wsd"))
    fail("warmup_steps", fmt::format("{} is not below total_steps {}", o.warmup_steps, o.total_steps), "shorten the warm-up");
  if (o.total_steps > 0 && o.name == "wsd" && o.warmup_steps + o.decay_steps > o.total_steps)
    fail("decay_steps", fmt::format("warm-up {} and decay {} exceed total_steps {}", o.warmup_steps, o.decay_steps, o.total_steps),
         "shorten one of them");
  if (o.is_plateau() && (o.warmup_steps > 0 || o.warmup_fraction > 0))
    fail("warmup_steps", "has no effect with reducelronplateau", "remove it, or use warmup_cosine");
  if (o.is_plateau() && o.interval == "step") fail("interval", "step is impossible for reducelronplateau", "it acts per validation");
}

}  // namespace ups::optim
