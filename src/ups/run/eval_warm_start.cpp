#include "ups/run/eval_warm_start.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/io/files.h"
#include "ups/io/svg.h"
#include "ups/run/eval_models.h"
#include "ups/run/session.h"

namespace ups::run {
namespace {

void row(std::string& table, const std::string& from, double start, const std::vector<double>& error, const std::vector<double>& zero, double to_tolerance) {
  table += fmt::format("{:<14} {:>9.3g}", from, start);
  for (size_t k = 0; k < error.size(); ++k) table += fmt::format(" {:>9.3g} {:>7}", error[k], fmt::format("{:.2g}x", error[k] / zero[k]));
  table += fmt::format(" {:>10.1f}\n", to_tolerance);
}

std::string table_of(const SetScores& scores) {
  const WarmStart& any = scores.models[0].warm_start.value();
  std::string table = fmt::format("{:<14} {:>9}", "PCG from", "0");
  for (const int64_t k : any.iterations) table += fmt::format(" {:>9} {:>7}", k, "/zero");
  table += fmt::format(" {:>10}\n", fmt::format("to {:g}", WarmStart::kTolerance));
  row(table, "zero", 1, any.error_from_zero, any.error_from_zero, any.to_tolerance_from_zero);
  for (const ModelScores& m : scores.models) {
    const WarmStart& w = m.warm_start.value();
    row(table, m.name, w.start_error, w.error, w.error_from_zero, w.to_tolerance);
  }
  table += fmt::format("Mean relative L2 error after k Jacobi-PCG iterations and iterations to {:g}, {} {} samples of {}; against {} "
                       "(the set's differ from the discrete ones by {:.2g}).\n",
                       WarmStart::kTolerance, scores.samples, scores.split_name, scores.info.name, any.against_set ? "the set's solutions" : "converged solves", any.deviation);
  return table;
}

std::string chart_of(const SetScores& scores) {
  io::Chart chart;
  chart.title = fmt::format("{}: conjugate gradients from three starts", scores.info.name);
  chart.x.label = "iterations";
  chart.y = {"relative L2 error", true, {}, {}};
  const auto line = [&](const std::string& name, double start, const std::vector<double>& error) {
    io::Series s;
    s.name = name;
    s.x = {0};
    s.y = {start};
    for (const int64_t k : scores.models[0].warm_start->iterations) s.x.push_back(static_cast<double>(k));
    s.y.insert(s.y.end(), error.begin(), error.end());
    chart.series.push_back(std::move(s));
  };
  line("zero", 1, scores.models[0].warm_start->error_from_zero);
  for (const ModelScores& m : scores.models) line(m.name, m.warm_start->start_error, m.warm_start->error);
  return io::render_chart(chart);
}

}  // namespace

void add_warm_start_options(CLI::App& app, WarmStartArgs& args) {
  app.add_option("--run", args.run, "run directory written by ups-train")->required();
  app.add_option("--split", args.split, "which split to score")->check(CLI::IsMember({"test", "val"}));
  app.add_option("--iterations", args.iterations, "solver iterations after which errors are given (default: the run's stages.steady_prior.warm_start_iters)")
      ->delimiter(',')->check(CLI::Range(int64_t{1}, int64_t{100000}));
  app.add_flag("--print-json", args.print_json, "print JSON instead of the table");
}

int run_warm_start(const WarmStartArgs& args, const std::string& command_line) {
  Session session = open_run(args.run, command_line, 0, "auto");
  require_trained(session.store, "steady_prior", "ups-eval warmstart");
  auto& space = session.space("steady_prior");
  if (!knows_darcy_operator(space.info()))
    throw data_error(space.info().name, "the discrete problem behind this set is not known: it is no Darcy set with one coefficient field and a source 'beta'",
                     "warm starts are measured on sets of ups-data generate darcy2d and on PDEBench's 2D_DarcyFlow files");
  auto models = steady_models(session.config(), space, session.store);
  std::erase_if(models, [](const EvalModel& m) { return m.stochastic; });  // a sample is a worse start than the mean mode
  EvalInput input{*space.whole};
  input.split = args.split == "val" ? data::Split::val : data::Split::test;
  input.warm_start_iterations = args.iterations.empty() ? session.config().stages.steady_prior.warm_start_iters : args.iterations;
  const SetScores scores = evaluate_set(input, models);
  nlohmann::ordered_json report{{"set", scores.info.name}, {"split", scores.split_name}, {"split_hash", scores.split_hash}, {"samples", scores.samples}};
  for (const ModelScores& m : scores.models) report["from"][m.name] = nlohmann::ordered_json::parse(warm_start_json(*m.warm_start));
  const auto file = session.dir.file("eval/warmstart.json");
  io::make_directories(file.parent_path());
  io::make_directories(session.dir.file("plots"));
  io::write_text_atomic(session.dir.file("plots/warmstart.svg"), chart_of(scores));
  io::write_text_atomic(file, report.dump(2) + "\n");
  if (args.print_json) std::cout << report.dump(2) << "\n";
  else log::info("\n" + table_of(scores));
  log::info("written: " + file.string());
  return 0;
}

}  // namespace ups::run
