#include "ups/run/eval_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>

#include "ups/core/text.h"

namespace ups::run {
namespace {

using metrics::Metric;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

double last_frame(const metrics::FieldResult& r) { return r.frame_mean(Metric::nrmse, r.frames - 1); }

// Reference rows of the same set, for the ratios.
struct Baselines {
  const ModelScores* persistence;
  const ModelScores* climatology;
};

double nrmse(const ModelScores* m, bool one_step) {
  if (m == nullptr) return kNan;
  return (one_step ? m->one_step : m->primary()).field.mean(Metric::nrmse);
}

double value_of(std::string_view key, const SetScores& set, const ModelScores& m, const Baselines& base) {
  const ModeScores& main = m.primary();
  const auto mean = [&](Metric metric) { return main.field.mean(metric); };
  const auto ensemble = [&](const ModeScores& mode, auto member) {
    return mode.ensemble ? mode.ensemble->mean((*mode.ensemble).*member) : kNan;
  };
  using metrics::EnsembleResult;
  if (key == "one_step_nrmse") return m.one_step.field.mean(Metric::nrmse);
  if (key == "rollout_nrmse") return m.rollout ? m.rollout->field.mean(Metric::nrmse) : kNan;
  if (key == "last_frame_nrmse") return m.rollout ? last_frame(m.rollout->field) : kNan;
  if (key == "nrmse_pooled") return mean(Metric::nrmse_pooled);
  if (key == "vrmse") return mean(Metric::vrmse);
  if (key == "fair_crps") return ensemble(main, &EnsembleResult::crps);
  if (key == "spread_skill") return ensemble(main, &EnsembleResult::spread_skill);
  if (key == "one_step_ratio_persistence") return nrmse(&m, true) / nrmse(base.persistence, true);
  if (key == "ratio_persistence") return nrmse(&m, false) / nrmse(base.persistence, false);
  if (key == "ratio_climatology") return nrmse(&m, false) / nrmse(base.climatology, false);
  if (key == "one_step_nrmse_pooled") return m.one_step.field.mean(Metric::nrmse_pooled);
  if (key == "one_step_vrmse") return m.one_step.field.mean(Metric::vrmse);
  if (key == "one_step_mae") return m.one_step.field.mean(Metric::mae);
  if (key == "one_step_crps") return ensemble(m.one_step, &EnsembleResult::crps);
  if (key == "one_step_spread_skill") return ensemble(m.one_step, &EnsembleResult::spread_skill);
  if (key == "one_step_nrmse_single") return m.one_step.single ? m.one_step.single->mean(Metric::nrmse) : kNan;
  if (key == "rollout_nrmse_single") return m.rollout && m.rollout->single ? m.rollout->single->mean(Metric::nrmse) : kNan;
  if (key == "coverage90") return main.ensemble ? main.ensemble->coverage90 : kNan;
  if (key == "rank_chi2") return main.ensemble ? main.ensemble->rank_chi2 : kNan;
  if (key == "spearman") return ensemble(main, &EnsembleResult::spearman);
  if (key == "correlation_time") return m.rollout ? m.rollout->field.correlation[0].median : kNan;
  if (key == "correlation_censored") return m.rollout ? m.rollout->field.correlation[0].censored : kNan;
  if (key == "crmse") return main.field.mean(Metric::crmse, set.conserved);
  if (key == "drift") return m.rollout ? main.field.mean(Metric::drift, set.conserved) : kNan;
  if (key == "dead") return static_cast<double>(main.field.dead());
  if (key == "diverged") return static_cast<double>((main.single ? *main.single : main.field).diverged);
  if (key == "nfe") return m.nfe;
  if (key == "ms_per_step") return m.ms_per_step.value_or(kNan);
  // Spectra are those of the samples: averaging members removes the energy that the metric looks for.
  const bool spectrum = starts_with(key, "logspec_");
  for (size_t i = 0; i < metrics::kMetrics; ++i) {
    const auto metric = static_cast<Metric>(i);
    if (key == metrics::to_string(metric)) return (spectrum && main.single ? *main.single : main.field).mean(metric);
  }
  assert(false && "column without a value");
  return kNan;
}

std::string number(double v) { return std::isfinite(v) ? fmt::format("{:.3g}", v) : "-"; }

std::string csv_text(const std::string& text) {
  std::string out = text;
  if (!out.empty() && std::string_view("=+-@\t\r").find(out[0]) != std::string_view::npos) out.insert(0, "'");
  if (out.find_first_of(",\"\r\n") == std::string::npos) return out;
  std::string quoted = "\"";
  for (char c : out) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

}  // namespace

const std::vector<Column>& table_columns() {
  static const std::vector<Column> kColumns = {
      {"one_step_nrmse", "one-step", "nRMSE of frame t from the true frame t-1; steady sets: of the solution"},
      {"rollout_nrmse", "rollout", "nRMSE of all predicted frames from the last context frame alone"},
      {"last_frame_nrmse", "last frame", "nRMSE of the last frame of the rollout"},
      {"nrmse_pooled", "pooled", "sqrt(sum e^2 / sum y^2) over samples"},
      {"ratio_persistence", "/persist.", "rollout nRMSE over that of persistence"},
      {"ratio_climatology", "/climat.", "rollout nRMSE (steady sets: one-step) over that of the train mean"},
      {"vrmse", "VRMSE", "RMSE over the standard deviation in space; 1 = predicting the spatial mean"},
      {"fair_crps", "fair CRPS", "continuous ranked probability score of the samples, in units of the field"},
      {"spread_skill", "spread/skill", "ensemble spread over the error of the ensemble mean; 1 = calibrated"},
      {"frmse_low", "", "error of wave numbers 0-3"},
      {"frmse_mid", "", "error of wave numbers 4-11"},
      {"frmse_high", "", "error of wave numbers from 12"},
      {"logspec_low", "", "mean |log10 E_model / E_truth| of wave numbers 0-3"},
      {"logspec_mid", "", "the same for 4-11"},
      {"logspec_high", "logE high", "the same from 12: sees missing energy"},
      {"rmse", "", "root mean square error"},
      {"mae", "", "mean absolute error"},
      {"max_error", "", "largest absolute error"},
      {"brmse", "", "error on the boundary cells"},
      {"crmse", "", "error of the spatial mean of conserved channels"},
      {"drift", "", "change of the prediction's own spatial mean since the context frame, conserved channels"},
      {"one_step_ratio_persistence", "", "one-step nRMSE over that of persistence"},
      {"one_step_nrmse_pooled", "", "pooled one-step nRMSE"},
      {"one_step_vrmse", "", "one-step VRMSE"},
      {"one_step_mae", "", "one-step mean absolute error"},
      {"one_step_crps", "", "one-step fair CRPS"},
      {"one_step_spread_skill", "", "one-step spread/skill"},
      {"one_step_nrmse_single", "", "one-step nRMSE of single samples"},
      {"rollout_nrmse_single", "", "rollout nRMSE of single samples"},
      {"coverage90", "", "share of the truth inside the 90 % interval of the ensemble"},
      {"rank_chi2", "", "unevenness of the rank histogram; 0 = flat"},
      {"spearman", "", "rank correlation of spread and error over samples"},
      {"correlation_time", "", "median time until the correlation in space falls below 0.8"},
      {"correlation_censored", "", "share of samples that never fall below"},
      {"dead", "", "(sample, frame, channel) entries left out of nRMSE because the truth has died out"},
      {"diverged", "", "samples with a prediction that is not finite"},
      {"nfe", "NFE", "network evaluations per frame"},
      {"ms_per_step", "ms/step", "wall time per frame and trajectory at the evaluation's batch size"},
  };
  return kColumns;
}

double TableRow::at(std::string_view key) const {
  const auto& columns = table_columns();
  const auto it = std::find_if(columns.begin(), columns.end(), [&](const Column& c) { return c.key == key; });
  assert(it != columns.end());
  return values[static_cast<size_t>(it - columns.begin())];
}

std::vector<TableRow> make_table(const std::vector<SetScores>& sets) {
  std::vector<TableRow> rows;
  for (const SetScores& set : sets) {
    const Baselines base{set.find("persistence"), set.find("climatology")};
    for (const ModelScores& m : set.models) {
      TableRow row{set.info.name, m.name, {}};
      for (const Column& c : table_columns()) row.values.push_back(value_of(c.key, set, m, base));
      rows.push_back(std::move(row));
    }
  }
  return rows;
}

std::string table_text(const std::vector<TableRow>& rows) {
  const auto& columns = table_columns();
  std::vector<std::vector<std::string>> cells = {{"set", "model"}};
  for (const Column& c : columns) {
    if (!c.heading.empty()) cells[0].emplace_back(c.heading);
  }
  for (const TableRow& row : rows) {
    cells.push_back({escape_text(row.set), escape_text(row.model)});
    for (size_t i = 0; i < columns.size(); ++i) {
      if (columns[i].heading.empty()) continue;
      const bool diverged = !std::isfinite(row.values[i]) && columns[i].key == "rollout_nrmse" && row.at("diverged") > 0;
      cells.back().push_back(diverged ? "diverged" : number(row.values[i]));
    }
  }
  std::vector<size_t> width(cells[0].size(), 0);
  for (const auto& line : cells) {
    for (size_t i = 0; i < line.size(); ++i) width[i] = std::max(width[i], line[i].size());
  }
  std::string out;
  for (size_t r = 0; r < cells.size(); ++r) {
    if (r > 1 && cells[r][0] != cells[r - 1][0]) out += '\n';  // a blank line between sets
    std::string line;
    for (size_t i = 0; i < width.size(); ++i) {
      line += i < 2 ? fmt::format("{:<{}}  ", cells[r][i], width[i]) : fmt::format("{:>{}}  ", cells[r][i], width[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + '\n';
  }
  return out;
}

std::string table_csv(const std::vector<TableRow>& rows) {
  std::string out = "set,model";
  for (const Column& c : table_columns()) out += fmt::format(",{}", c.key);
  out += "\r\n";
  for (const TableRow& row : rows) {
    out += csv_text(row.set) + ',' + csv_text(row.model);
    for (double v : row.values) out += std::isfinite(v) ? fmt::format(",{}", v) : std::string(",");
    out += "\r\n";
  }
  return out;
}

}  // namespace ups::run
