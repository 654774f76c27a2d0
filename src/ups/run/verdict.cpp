#include "ups/run/verdict.h"

#include <fmt/format.h>

#include <cmath>

namespace ups::run {
namespace {

const TableRow* find(const std::vector<TableRow>& rows, const std::string& set, std::string_view model) {
  for (const TableRow& r : rows) {
    if (r.set == set && r.model == model) return &r;
  }
  return nullptr;
}

// "lowers one-step nRMSE by 23 % (0.0012 -> 0.00092)"; differences under 2 % are no difference on sets of this size.
enum class Effect { helps, none, hurts, unknown };
Effect effect(double from, double to) {
  if (!std::isfinite(from) || !(from > 0)) return Effect::unknown;
  if (!std::isfinite(to)) return Effect::hurts;
  const double ratio = to / from;
  return ratio < 0.98 ? Effect::helps : ratio <= 1.02 ? Effect::none : Effect::hurts;
}

std::string change(const std::string& what, double from, double to) {
  if (!std::isfinite(to)) return fmt::format("loses {} altogether (not finite)", what);
  const double percent = 100 * std::abs(to / from - 1);
  switch (effect(from, to)) {
    case Effect::helps: return fmt::format("lowers {} by {:.0f} % ({:.3g} -> {:.3g})", what, percent, from, to);
    case Effect::hurts: return fmt::format("raises {} by {:.0f} % ({:.3g} -> {:.3g})", what, percent, from, to);
    default: return fmt::format("leaves {} as it is ({:.3g} -> {:.3g})", what, from, to);
  }
}

std::string summary(Effect one_step, Effect rollout) {
  const bool gain = one_step == Effect::helps || rollout == Effect::helps;
  const bool loss = one_step == Effect::hurts || rollout == Effect::hurts;
  return gain && loss ? "helps in part" : gain ? "helps" : loss ? "does not help (worse)" : "does not help";
}

// A stage against the model it builds on.
std::string compare(const TableRow& row, const TableRow& base, const std::string& base_name) {
  const double s0 = base.at("one_step_nrmse"), s1 = row.at("one_step_nrmse");
  const double r0 = base.at("rollout_nrmse"), r1 = row.at("rollout_nrmse");
  return fmt::format("{}: {} against {}: {}, {}.", row.set + ": " + row.model, summary(effect(s0, s1), effect(r0, r1)), base_name,
                     change("one-step nRMSE", s0, s1), change("rollout nRMSE", r0, r1));
}

std::string against_baselines(const TableRow& row, const TableRow* persistence, const TableRow* climatology) {
  const bool steady = !std::isfinite(row.at("rollout_nrmse")) && persistence == nullptr;
  const std::string_view key = steady ? "one_step_nrmse" : "rollout_nrmse";
  if (!std::isfinite(row.at(key))) return fmt::format("{}: {}: the prediction is not finite.", row.set, row.model);
  std::string beside;
  bool beaten = false;
  const auto add = [&](const TableRow* base, const char* name, std::string_view metric, const char* words) {
    if (base == nullptr || !(base->at(metric) > 0)) return;
    const double ratio = row.at(metric) / base->at(metric);
    beaten = beaten || ratio >= 0.98;
    beside += fmt::format("{}{} {:.3g} is {:.3g}x {}", beside.empty() ? "" : ", ", words, row.at(metric), ratio, name);
  };
  if (steady) {
    add(climatology, "climatology", key, "relative L2 error");
  } else {
    add(persistence, "persistence", "one_step_nrmse", "one-step nRMSE");
    add(persistence, "persistence", "rollout_nrmse", "rollout nRMSE");
    add(climatology, "climatology", "rollout_nrmse", "rollout nRMSE");
  }
  if (beside.empty()) return fmt::format("{}: {}: nRMSE {:.3g}, with no baseline to compare.", row.set, row.model, row.at(key));
  return fmt::format("{}: {}: {}: {}.", row.set, row.model, beaten ? "does NOT beat every baseline" : "helps", beside);
}

std::string as_samples(const TableRow& row, const TableRow& op) {
  if (!std::isfinite(row.at("fair_crps")) || !std::isfinite(op.at("mae"))) return {};
  const double one = row.at("one_step_crps") / op.at("one_step_mae"), all = row.at("fair_crps") / op.at("mae");
  const double spread = row.at("one_step_spread_skill");
  const auto gain = [](double ratio) { return ratio < 0.98 ? "gain" : "no gain"; };
  return fmt::format("{}: {}: fair CRPS over the operator's mean absolute error: {:.3g} in one step ({}), {:.3g} in the rollout ({}); "
                     "one-step spread/skill {:.2f} ({}).",
                     row.set, row.model, one, gain(one), all, gain(all), spread,
                     spread < 0.8 ? "too narrow" : spread > 1.25 ? "too wide" : "calibrated");
}

// Does the 90 % interval of the ensemble hold 90 % of the truth? Fields are correlated, so a few points more or less mean nothing.
void add_coverage(const TableRow& row, std::vector<std::string>& out) {
  if (!std::isfinite(row.at("fair_crps"))) return;
  const double share = row.at("coverage90");
  out.push_back(fmt::format("{}: {}: its 90 % interval covers {:.0f} %: {}.", row.set, row.model, 100 * share,
                            share < 0.85 ? "too narrow" : share > 0.95 ? "too wide" : "calibrated"));
}

}  // namespace

std::vector<std::string> verdict(const std::vector<TableRow>& rows) {
  std::vector<std::string> out;
  for (const TableRow& row : rows) {
    if (row.model == "persistence" || row.model == "climatology") continue;
    const TableRow* op = find(rows, row.set, "operator");
    const bool builds_on_operator =
        op != nullptr && (row.model.rfind("corrector", 0) == 0 || row.model.rfind("student", 0) == 0 || row.model.rfind("ttc", 0) == 0);
    if (!builds_on_operator) {
      out.push_back(against_baselines(row, find(rows, row.set, "persistence"), find(rows, row.set, "climatology")));
      add_coverage(row, out);
      continue;
    }
    out.push_back(compare(row, *op, "the operator alone"));
    if (const TableRow* control = find(rows, row.set, "operator_equal_compute")) {
      out.push_back(compare(row, *control, "the operator trained for the summed compute"));
    }
    if (const TableRow* control = find(rows, row.set, "ttc_control_mean"); row.model == "ttc" && control != nullptr) {
      out.push_back(compare(row, *control, "its control, the mean of as many candidates"));
    }
    if (const std::string s = as_samples(row, *op); !s.empty()) out.push_back(s);
    add_coverage(row, out);
    const TableRow* teacher = find(rows, row.set, "corrector_sample");
    if (row.model.rfind("student", 0) == 0 && teacher != nullptr) {
      const double gain = op->at("one_step_mae") - teacher->at("one_step_crps");
      const double kept = op->at("one_step_mae") - row.at("one_step_crps");
      if (gain > 0 && std::isfinite(kept)) {
        out.push_back(fmt::format("{}: {}: keeps {:.0f} % of the sampler's one-step CRPS gain at {:.0f} instead of {:.0f} network "
                                  "evaluations.",
                                  row.set, row.model, 100 * kept / gain, row.at("nfe"), teacher->at("nfe")));
      } else {
        out.push_back(fmt::format("{}: {}: the sampler it was distilled from has no CRPS gain to keep.", row.set, row.model));
      }
    }
  }
  return out;
}

std::vector<std::string> verdict(const std::vector<SetScores>& sets) {
  std::vector<std::string> out = verdict(make_table(sets));
  for (const SetScores& s : sets) {
    if (!s.ttc) continue;
    for (std::string& line : ttc_sentences(s.info.name, *s.ttc)) out.push_back(std::move(line));
  }
  return out;
}

}  // namespace ups::run
