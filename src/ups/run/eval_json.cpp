#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "ups/io/files.h"
#include "ups/run/eval_table.h"
#include "ups/run/verdict.h"

namespace ups::run {
namespace {

using Json = nlohmann::ordered_json;
using metrics::Metric;

Json finite(double v) { return std::isfinite(v) ? Json(v) : Json(nullptr); }
// PDEBench's division by (batches - 1) gives inf for one batch; JSON has no such number, and null would hide it.
Json or_text(double v) { return std::isinf(v) ? Json("inf") : finite(v); }

Json mode_per_channel(const ModeScores& mode) {
  Json j = Json::object();
  for (size_t i = 0; i < metrics::kMetrics; ++i) {
    const auto metric = static_cast<Metric>(i);
    Json values = Json::array();
    for (int64_t c = 0; c < mode.field.channels; ++c) values.push_back(finite(mode.field.channel_mean(metric, c)));
    j[metrics::to_string(metric)] = std::move(values);
  }
  return j;
}

Json by_frame(const std::vector<double>& values, int64_t channels) {  // [T][C]
  Json out = Json::array();
  for (size_t i = 0; i < values.size(); ++i) {
    if (i % static_cast<size_t>(channels) == 0) out.push_back(Json::array());
    out.back().push_back(finite(values[i]));
  }
  return out;
}

Json mode_per_time(const ModeScores& mode) {
  Json j = Json::object();
  for (size_t i = 0; i < metrics::kMetrics; ++i) {
    j[metrics::to_string(static_cast<Metric>(i))] = by_frame(mode.field.values[i], mode.field.channels);
  }
  if (mode.ensemble) {
    j["fair_crps"] = by_frame(mode.ensemble->crps, mode.field.channels);
    j["spread"] = by_frame(mode.ensemble->spread, mode.field.channels);
    j["spread_skill"] = by_frame(mode.ensemble->spread_skill, mode.field.channels);
    j["spearman"] = by_frame(mode.ensemble->spearman, mode.field.channels);
  }
  return j;
}

Json mode_details(const ModeScores& mode) {
  Json j = Json::object();
  j["rel_l2"] = finite(mode.field.rel_l2);
  for (size_t level = 0; level < metrics::kCorrelationLevels.size(); ++level) {
    const metrics::CorrelationTime& time = mode.field.correlation[level];
    j["correlation_time"][fmt::format("{}", metrics::kCorrelationLevels[level])] = {{"median", finite(time.median)},
                                                                                    {"censored", finite(time.censored)}};
  }
  if (mode.ensemble) {
    j["rank_histogram"] = mode.ensemble->rank_histogram;
    j["coverage"] = Json::array();
    for (const metrics::Coverage& c : mode.ensemble->coverage) j["coverage"].push_back({{"nominal", c.nominal}, {"actual", finite(c.actual)}});
  }
  if (mode.exact) {
    const metrics::PdebenchBatch& e = *mode.exact;
    j["pdebench_exact"] = {{"rmse", or_text(e.rmse)},          {"nrmse", or_text(e.nrmse)},
                           {"crmse", or_text(e.crmse)},        {"max", or_text(e.max_error)},
                           {"brmse", or_text(e.brmse)},        {"frmse_low", or_text(e.frmse[0])},
                           {"frmse_mid", or_text(e.frmse[1])}, {"frmse_high", or_text(e.frmse[2])}};
  }
  return j;
}

// Calls f(mode name, scores) for the modes of a model and collects the results.
template <class F>
Json each_mode(const ModelScores& m, F&& f) {
  Json j = Json::object();
  j["one_step"] = f(m.one_step);
  if (m.rollout) j["rollout"] = f(*m.rollout);
  return j;
}

Json ttc_json(const TtcReport& r) {
  return {{"candidate_0", r.first},
          {"candidates", r.plan.candidates},
          {"beam_width", r.plan.beam},
          {"horizon", r.plan.horizon},
          {"terms", r.terms},
          {"steps", r.steps},
          {"spearman", finite(r.spearman)},
          {"truth_first", r.truth_first ? Json(*r.truth_first) : Json(nullptr)},
          {"margin", or_text(r.margin)},
          {"kept_candidate_0", r.kept_first},
          {"evaluations", {{"planned", r.plan.evaluations}, {"used", r.evaluations}}},
          {"nrmse", {{"candidate_0", finite(r.error_first)}, {"chosen", finite(r.error_chosen)}, {"best", finite(r.error_best)}, {"mean", finite(r.error_mean)}}},
          {"oracle_gain", finite(r.oracle_gain())},
          {"achieved_share", finite(r.achieved())},
          {"control_share", finite(r.control())}};
}

// The model whose one-step numbers stand under UPS's flat keys: the operator, else the first that is no baseline.
std::pair<const SetScores*, const ModelScores*> headline(const std::vector<SetScores>& sets) {
  for (const SetScores& s : sets) {
    if (const ModelScores* m = s.find("operator")) return {&s, m};
  }
  for (const SetScores& s : sets) {
    for (const ModelScores& m : s.models) {
      if (m.nfe > 0) return {&s, &m};
    }
  }
  return {nullptr, nullptr};
}

Json flat_metrics(const std::vector<SetScores>& sets) {
  Json j = Json::object();
  const auto [set, model] = headline(sets);
  if (model == nullptr) return j;
  const metrics::FieldResult& f = model->one_step.field;
  const double mse = f.mean(Metric::mse);
  j["mse"] = finite(mse);
  j["mae"] = finite(f.mean(Metric::mae));
  j["rmse"] = finite(std::sqrt(mse));
  j["nrmse"] = finite(f.mean(Metric::nrmse));
  j["rel_l2"] = finite(f.rel_l2);
  j["conservation_gap"] = finite(f.mean(Metric::crmse));
  j["bc_violation"] = finite(f.mean(Metric::brmse));
  j["negativity_penalty"] = finite(f.mean(Metric::negativity));
  for (const char* name : {"persistence", "climatology"}) {
    if (const ModelScores* b = set->find(name)) j[std::string(name) + "_nrmse"] = finite(b->one_step.field.mean(Metric::nrmse));
  }
  return j;
}

}  // namespace

std::string evaluation_json(const std::vector<SetScores>& sets, const EvaluationExtra& extra) {
  const std::vector<TableRow> rows = make_table(sets);
  const auto [main_set, main_model] = headline(sets);
  // ordered_json keeps a vector: no references into a map that still grows.
  Json per_channel = Json::object(), per_time = Json::object(), baselines = Json::object(), cost = Json::object(),
       details = Json::object(), about_sets = Json::object();
  Json e = {{"samples", main_set != nullptr ? Json(main_set->samples) : Json(nullptr)},
       {"tau", nullptr},
       {"ttc", std::any_of(sets.begin(), sets.end(), [](const SetScores& s) { return s.ttc.has_value(); })},
       {"split", sets.empty() ? "" : sets[0].split_name},
       {"split_hash", sets.empty() ? "" : sets[0].split_hash},
       {"mode", extra.mode},
       {"metrics_of", main_model != nullptr ? Json(main_set->info.name + "/" + main_model->name + "/one_step") : Json(nullptr)},
       {"run", extra.run}};
  for (const auto& [key, value] : extra.notes) e[key] = value;
  for (const SetScores& s : sets) {
    const std::string& name = s.info.name;
    about_sets[name] = {{"samples", s.samples},       {"frames", s.frames},          {"initial_step", s.initial_step},
                       {"members", s.members},       {"split_hash", s.split_hash},  {"channels", s.info.channel_names},
                       {"grid", s.info.grid},        {"steady", s.info.steady},     {"conserved", s.conserved},
                       {"context_time", s.context_time}};
    Json channels_here = Json::object(), times_here = {{"time", s.times}}, details_here = Json::object(),
         baselines_here = Json::object(), cost_here = Json::object();
    for (const ModelScores& m : s.models) {
      channels_here[m.name] = each_mode(m, mode_per_channel);
      times_here[m.name] = each_mode(m, mode_per_time);
      details_here[m.name] = each_mode(m, mode_details);
      if (m.warm_start) details_here[m.name]["warm_start"] = Json::parse(warm_start_json(*m.warm_start));
      if (m.nfe == 0) {
        baselines_here[m.name] = {{"one_step_nrmse", finite(m.one_step.field.mean(Metric::nrmse))},
                                  {"rollout_nrmse", m.rollout ? finite(m.rollout->field.mean(Metric::nrmse)) : Json(nullptr)}};
      } else {
        cost_here[m.name] = {{"nfe", m.nfe}, {"ms_per_step", m.ms_per_step ? finite(*m.ms_per_step) : Json(nullptr)}};
      }
    }
    if (s.ttc) details_here["ttc"]["choice"] = ttc_json(*s.ttc);
    per_channel[name] = std::move(channels_here);
    per_time[name] = std::move(times_here);
    details[name] = std::move(details_here);
    baselines[name] = std::move(baselines_here);
    cost[name] = std::move(cost_here);
  }
  if (main_model != nullptr) {
    cost["nfe"] = main_model->nfe;
    cost["ms_per_step"] = main_model->ms_per_step ? finite(*main_model->ms_per_step) : Json(nullptr);
  }
  e["sets"] = std::move(about_sets);
  Json j;
  j["metrics"] = flat_metrics(sets);
  j["extra"] = std::move(e);
  for (const Column& c : table_columns()) j["columns"][std::string(c.key)] = std::string(c.meaning);
  Json table = Json::array();
  for (const TableRow& row : rows) {
    Json r = {{"set", row.set}, {"model", row.model}};
    for (size_t i = 0; i < row.values.size(); ++i) r[std::string(table_columns()[i].key)] = finite(row.values[i]);
    table.push_back(std::move(r));
  }
  j["table"] = std::move(table);
  j["verdict"] = verdict(sets);
  j["per_channel"] = std::move(per_channel);
  j["baselines"] = std::move(baselines);
  j["cost"] = std::move(cost);
  j["details"] = std::move(details);
  j["per_time"] = std::move(per_time);
  return j.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::vector<std::string> write_evaluation(const std::string& prefix, const std::vector<SetScores>& sets,
                                          const EvaluationExtra& extra) {
  const std::filesystem::path folder = std::filesystem::path(prefix).parent_path();
  if (!folder.empty()) io::make_directories(folder);
  io::write_text_atomic(prefix + ".json", evaluation_json(sets, extra));
  io::write_text_atomic(prefix + ".csv", table_csv(make_table(sets)));
  return {prefix + ".json", prefix + ".csv"};
}

}  // namespace ups::run
