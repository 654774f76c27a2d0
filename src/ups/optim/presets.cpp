#include "ups/optim/presets.h"

#include <array>
#include <utility>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::optim::presets {
namespace {

OptimizerOptions ups_plan(double lr, double weight_decay) {
  OptimizerOptions o;
  o.name = "muon_hybrid";
  o.lr = lr;
  o.weight_decay = weight_decay;
  o.muon_beta = 0.9;
  o.muon_scale = 0.2;  // RMS of an update / lr: near AdamW's, so that one rate fits both families
  o.muon_ns_iters = 5;
  o.betas = {0.9, 0.999};
  o.eps = 1e-8;
  return o;
}

OptimizerOptions vae_plan(double muon_lr, double adamw_lr) {
  OptimizerOptions o;
  o.name = "muon_hybrid";
  o.muon_scale_mode = "kj_compat";
  o.muon_schedule = "kj";
  o.include_all = true;
  o.muon_lr = muon_lr;
  o.muon_beta = 0.95;
  o.adamw_lr = adamw_lr;
  o.betas = {0.9, 0.95};
  o.eps = 1e-10;
  o.weight_decay = 1e-5;
  o.scheduler.emplace().name = "cosineannealinglr";
  o.scheduler->eta_min = 1e-5;
  return o;
}

void cosine(OptimizerOptions& o, int64_t epochs, double eta_min) {
  o.scheduler.emplace().name = "cosineannealinglr";
  o.scheduler->t_max = epochs;
  o.scheduler->eta_min = eta_min;
}

struct Entry {
  std::string_view name;
  OptimizerOptions (*make)();
};
constexpr std::array kPresets{
    Entry{"ups_operator", ups_operator},         Entry{"ups_diff_residual", ups_diff_residual},
    Entry{"ups_consistency_distill", ups_consistency_distill},
    Entry{"vae_conservative", vae_conservative}, Entry{"vae_moderate", vae_moderate},
    Entry{"vae_aggressive", vae_aggressive},     Entry{"discriminator", discriminator}};

constexpr auto kNames = [] {
  std::array<std::string_view, kPresets.size()> out{};
  for (size_t i = 0; i < out.size(); ++i) out[i] = kPresets[i].name;
  return out;
}();

}  // namespace

OptimizerOptions ups_operator() { return ups_plan(1e-3, 0.03); }

OptimizerOptions ups_diff_residual() {
  OptimizerOptions o = ups_plan(5e-5, 0.015);
  cosine(o, 8, 3e-6);
  return o;
}

OptimizerOptions ups_consistency_distill() {
  OptimizerOptions o = ups_plan(3e-5, 0.015);
  cosine(o, 8, 2e-6);
  return o;
}

OptimizerOptions vae_conservative() { return vae_plan(0.01, 1e-3); }
OptimizerOptions vae_moderate() { return vae_plan(0.015, 8e-4); }
OptimizerOptions vae_aggressive() { return vae_plan(0.02, 5e-4); }

OptimizerOptions discriminator() {
  OptimizerOptions o;
  o.name = "adamw";
  o.lr = 2e-4;
  o.weight_decay = 1e-5;
  return o;
}

std::span<const std::string_view> names() { return kNames; }

OptimizerOptions by_name(std::string_view name) {
  for (const auto& p : kPresets)
    if (p.name == name) return p.make();
  const std::vector<std::string> known(kNames.begin(), kNames.end());
  const std::string near = nearest(name, known);
  throw usage_error("optimizer preset", "no preset '" + std::string(name) + "'",
                    near.empty() ? "there are " + join(known, ", ") : "did you mean '" + near + "'?");
}

}  // namespace ups::optim::presets
