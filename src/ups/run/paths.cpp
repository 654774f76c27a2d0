#include "ups/run/paths.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/models/path_probe.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"
#include "ups/stages/operator_stage.h"

namespace ups::run {
namespace {

struct Errors {
  double one_step = 0, rollout = 0;
};

Errors errors_of(const models::FieldOperator& op, stages::FieldSpace& space, const stages::HeldOut& held_out, int64_t context, models::PathProbe& probe) {
  const models::PathProbe::Scope scope(probe);
  const auto s = stages::score_rollout(space, held_out, [&](const at::Tensor& z) { return op.step(z, held_out.condition); }, context);
  return {s.one_step, s.rollout};
}

}  // namespace

void add_paths_options(CLI::App& app, PathsArgs& args) {
  app.add_option("--run", args.run, "run directory written by ups-train")->required();
  app.add_option("--split", args.split, "which split to score")->check(CLI::IsMember({"test", "val"}));
  app.add_flag("--print-json", args.print_json, "print JSON instead of the table");
}

int run_paths(const PathsArgs& args, const std::string& command_line) {
  Session session = open_run(args.run, command_line, 0, "auto");
  const RunConfig& c = session.config();
  if (c.op.architecture() != "pdet_window")
    throw usage_error("ups-eval paths", "the run's operator is " + c.op.architecture(), "only pdet_window has paths to compare");
  auto& space = session.space("operator");
  const auto op = load_operator(c, space, require_trained(session.store, "operator", "ups-eval paths"));
  const auto held_out = stages::hold_out(space, args.split == "test" ? data::Split::test : data::Split::val, stages::kValidationTrajectories, c.data.initial_step);
  models::PathProbe whole;
  const Errors all = errors_of(*op, space, held_out, c.op.context, whole);
  double total = 0;
  for (const auto& [path, size] : whole.size) total += size;
  nlohmann::json report = {{"split", args.split}, {"one_step", all.one_step}, {"rollout", all.rollout}, {"paths", nlohmann::json::object()}};
  std::string table = fmt::format("{:<12} {:>6} {:>18} {:>18}\n", "path", "share", "one-step without", "rollout without");
  table += fmt::format("{:<12} {:>6} {:>18.3g} {:>18.3g}\n", "(all)", "", all.one_step, all.rollout);
  for (const auto& [path, size] : whole.size) {
    models::PathProbe probe;
    probe.left_out = {path};
    const Errors e = errors_of(*op, space, held_out, c.op.context, probe);
    table += fmt::format("{:<12} {:>5.0f}% {:>18.3g} {:>18.3g}\n", path, 100 * size / total, e.one_step, e.rollout);
    report["paths"][path] = {{"share", size / total}, {"one_step_without", e.one_step}, {"rollout_without", e.rollout}};
  }
  if (args.print_json) std::cout << report.dump(2) << "\n";
  else log::info("\n" + table);
  return 0;
}

}  // namespace ups::run
