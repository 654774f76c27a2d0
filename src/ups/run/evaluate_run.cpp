#include "ups/run/evaluate_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iostream>

#include "ups/config/number.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/io/files.h"
#include "ups/run/eval_models.h"
#include "ups/run/eval_plots.h"
#include "ups/run/eval_table.h"
#include "ups/run/latent_plot.h"
#include "ups/run/latent_space.h"
#include "ups/run/predictions.h"
#include "ups/run/stage_factory.h"
#include "ups/run/ttc.h"
#include "ups/run/verdict.h"

namespace ups::run {
namespace {

data::Split split_of(const std::string& name) {
  if (name == "val") return data::Split::val;
  if (name == "train") return data::Split::train;
  return data::Split::test;
}

std::vector<std::pair<std::string, double>> conditions(const std::vector<std::string>& texts) {
  std::vector<std::pair<std::string, double>> out;
  for (const auto& text : texts) {
    const size_t cut = text.find('=');
    const config::RealResult value = cut == std::string::npos ? config::RealResult{} : config::parse_real(std::string_view(text).substr(cut + 1));
    if (!value.ok) throw usage_error("--where", "expected NAME=VALUE, found " + text, "for example --where nu=0.01");
    out.emplace_back(text.substr(0, cut), value.value);
  }
  return out;
}

// Test-time compute for the rows of a time-dependent set; null when it is off, or the rows that it needs are not there.
std::shared_ptr<TtcSearch> make_search(const RunConfig& c, stages::FieldSpace& space, const std::vector<EvalModel>& models, int64_t first_step) {
  if (!c.ttc.enabled) return nullptr;
  const auto row = [&](std::string_view name) {
    return std::find_if(models.begin(), models.end(), [&](const EvalModel& m) { return m.name == name; });
  };
  const auto first = row(c.ttc.first);
  auto sampler = row("corrector_sample");
  if (sampler == models.end()) sampler = row("student_1step");
  if (first == models.end() || sampler == models.end()) {
    log::notice_once("ttc is left out: it needs a trained diff_residual (and operator.context 1)");
    return nullptr;
  }
  auto parameters = [&data = *space.whole](int64_t trajectory) { return data.params(trajectory); };
  const data::SetInfo& info = space.whole->info();
  TtcReward reward = physical_reward(c.ttc.reward, info, parameters);
  if (!reward.residual && c.ttc.residual_threshold)
    throw usage_error("ttc.residual_threshold", "the residual of the set " + info.name + " is not known",
                      "leave it out; known are periodic advection1d, burgers1d and ks1d with their parameters");
  return std::make_shared<TtcSearch>(c.ttc, *first, *sampler, std::move(reward), info, first_step);
}

// The ttc block with --ttc laid over it.
TtcOptions ttc_options(const LoadedConfig& loaded, const std::vector<std::string>& values) {
  Overrides overrides;
  overrides.sets.emplace_back("ttc.enabled=true");
  for (const auto& text : values) overrides.sets.push_back("ttc." + text);
  return load_run_config_text(loaded.yaml(), "the run's configuration", overrides).config.ttc;
}

}  // namespace

void evaluate_session(Session& session, const EvalArgs& args) {
  const RunConfig& c = session.config();
  EvalChoice choice;
  choice.corrector_mode = args.corrector_mode;
  choice.sampler = parse_sampler(args.sampler.empty() ? c.diffusion.sampler : args.sampler);
  std::unique_ptr<PredictionsFile> predictions;
  if (!args.save_predictions.empty()) predictions = std::make_unique<PredictionsFile>(args.save_predictions);
  std::vector<SetScores> sets;
  std::optional<LatentFloor> floor;
  const auto score = [&](stages::FieldSpace& space, std::vector<EvalModel> models, int64_t initial_step) {
    if (models.empty()) return;
    EvalInput input{*space.whole};
    input.split = split_of(args.split);
    input.where = conditions(args.where);
    input.initial_step = args.initial_step.value_or(initial_step);
    input.horizon = args.horizon ? args.horizon : c.evaluation.horizon;
    input.ensemble = args.ensemble.value_or(c.evaluation.ensemble);
    input.batch = args.batch_size.value_or(c.evaluation.batch_size.value_or(std::max<int64_t>(16, c.training.batch_size)));
    input.memory_budget = space.dataset->bytes_resident() > 0 ? input.memory_budget : input.memory_budget / 2;
    input.exact_pdebench = args.metrics == "pdebench-exact";
    input.warm_start_iterations = c.stages.steady_prior.warm_start_iters;
    const auto search = space.whole->info().steady ? nullptr : make_search(c, space, models, input.initial_step);
    if (search) {
      if (!c.ttc.margin) search->set_margin(fit_margin(input.data, input.initial_step, *search, input.batch));
      for (EvalModel& m : ttc_models(search)) models.push_back(std::move(m));
    }
    sets.push_back(evaluate_set(input, models, predictions.get()));
    if (search) sets.back().ttc = judge_ttc(input.data, sets.back(), *search, input.batch);
  };
  const auto trained = [&](const char* key) {
    if (!session.store.last_step(key)) return false;
    if (stage_objective(c, key) != "reference") return true;
    log::notice_once("stages with objective reference have no decoder: they are not scored in physical units");
    return false;
  };
  if (trained("operator")) {
    auto& space = session.space("operator");
    if (space.stride != 1) throw usage_error("training.time_stride", "evaluation works on consecutive frames", "use data.reduced_resolution_t instead");
    score(space, transient_models(c, space, session.store, choice), c.data.initial_step);
    if (space.autoencoder)
      floor = latent_floor(space, *load_operator(c, space, require_trained(session.store, "operator", "evaluation")), split_of(args.split), c.op.context,
                           args.initial_step.value_or(c.data.initial_step));
  }
  bool scored = false;
  if (trained("steady_prior") && stage_objective(c, "steady_prior") == "attractor") {
    auto& space = session.space("steady_prior");
    const AttractorScores draws = score_attractor(*space.dataset, split_of(args.split), attractor_sampler(c, space, session.store, choice.sampler));
    const auto file = session.dir.file("eval/attractor.json");
    io::make_directories(file.parent_path());
    io::make_directories(session.dir.file("plots"));
    io::write_text_atomic(file, attractor_json(draws) + "\n");
    if (args.plots) io::write_text_atomic(session.dir.file("plots/attractor.svg"), attractor_svg(draws));
    log::info(attractor_text(draws) + "\nwritten: " + file.string());
    scored = true;
  } else if (trained("steady_prior")) {
    auto& space = session.space("steady_prior");
    score(space, steady_models(c, space, session.store), 1);
  }
  if (sets.empty() && (scored || latent_space(c) == "reference")) return;
  if (sets.empty()) throw checkpoint_error(session.dir.path().string(), "the run has no finished stage to score", "train it first");
  if (predictions) predictions->close();
  const auto rows = make_table(sets);
  EvaluationExtra extra;
  extra.run = session.dir.path().string();
  extra.mode = args.metrics;
  const std::string prefix = args.output_prefix.empty() ? session.dir.file("eval/evaluation").string() : args.output_prefix;
  const auto files = write_evaluation(prefix, sets, extra);
  io::write_text_atomic(prefix + ".config.yaml", session.loaded.yaml());
  std::string report = table_text(rows);
  if (floor) report += "\n" + floor->text();
  for (const auto& line : verdict(sets)) report += "\n" + line;
  io::write_text_atomic(prefix + ".txt", report + "\n");
  log::info("\n" + report);
  log::info("written: " + files[0] + ", " + files[1]);
  if (!args.save_predictions.empty()) log::info("predictions: " + args.save_predictions);
  if (args.plots) {
    const std::string folder = session.dir.file("plots").string();
    auto plots = write_eval_plots(folder, sets);
    const auto curves = write_training_plots(folder, session.dir.metrics().string());
    plots.insert(plots.end(), curves.begin(), curves.end());
    if (floor) plots.push_back(write_autoencoder_plot(folder, session.space("operator"), split_of(args.split)));
    log::info(fmt::format("plots: {} files in {}", plots.size(), folder));
  }
  if (session.metrics) session.metrics->append(io::JsonLine().add("kind", "eval").add("split", args.split).add("file", files[0]));
  if (args.print_json) std::cout << evaluation_json(sets, extra) << "\n";
}

int run_evaluation(const EvalArgs& args, const std::string& command_line) {
  if (args.run.empty()) throw usage_error("--run", "is missing", "give the run directory that ups-train printed");
  Session session = open_run(args.run, command_line, args.threads, args.device);
  if (!args.ttc.empty()) session.loaded.config.ttc = ttc_options(session.loaded, args.ttc);
  evaluate_session(session, args);
  return 0;
}

}  // namespace ups::run
