#include "ups/run/distill_report.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>

#include "ups/core/log.h"
#include "ups/core/process.h"
#include "ups/io/files.h"
#include "ups/io/svg.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"
#include "ups/stages/sample_scores.h"

namespace ups::run {
namespace {

constexpr int64_t kFineSteps = 64;

struct Way {
  std::string name;
  int64_t evaluations = 1;
  bool on_path = true;  // a function of the first noise alone
  stages::ResidualDraw draw;
  stages::SampleScores scores;
  double square = 0, seconds = 0;  // sums: squared distance to the fine path's end, CPU time
};

std::vector<Way> ways(const RunConfig& c, const models::Corrector& teacher, const models::Corrector& student) {
  using stages::NoiseOf, stages::ResidualRows;
  std::vector<Way> out;
  const auto from_teacher = [&](const std::string& name, stages::ResidualSampler how) {
    out.push_back({name, stages::flow_objective().evaluations(how), true, [&teacher, how](const ResidualRows& r, const NoiseOf& noise) {
                     return teacher.sample(noise(0), r.z, r.z_op, r.condition, how.steps, how.heun);
                   }, {}});
  };
  from_teacher("teacher heun:64", {true, kFineSteps});
  const Sampler own = parse_sampler(c.diffusion.sampler);
  const auto& objective = corrector_objective(c);
  const stages::ResidualSampler how{own.heun, own.steps};
  out.push_back({"corrector_sample", objective.evaluations(how), true, [&teacher, &objective, how](const ResidualRows& r, const NoiseOf& noise) {
                   return objective.sample(teacher, r.z, r.z_op, r.condition, noise, how);
                 }, {}});
  for (int64_t steps : {1, 2, 4, 8}) from_teacher(fmt::format("teacher euler:{}", steps), {false, steps});
  const auto& few = student_objective(c);
  for (int64_t steps : {1, 2, 4}) {
    if (steps > few.max_steps()) break;
    out.push_back({fmt::format("student {}", steps), steps, steps == 1 || few.follows_path(), [&student, &few, steps](const ResidualRows& r, const NoiseOf& noise) {
                     return few.sample(student, r.z, r.z_op, r.condition, noise, steps);
                   }, {}});
  }
  return out;
}

// Path error and spread/skill against network evaluations, one line per kind of sampler.
std::string picture(const nlohmann::json& rows) {
  std::vector<io::Chart> charts;
  for (const auto& [key, label] : {std::pair{"path_error", "path error / posterior deviation"}, {"spread_skill", "spread / skill"}}) {
    std::map<std::string, io::Series> lines;
    for (const auto& row : rows) {
      const std::string name = row["sampler"], kind = name.substr(0, name.rfind(' '));
      if (!row.contains(key) || row["nfe"].get<double>() > 16) continue;
      io::Series& line = lines[kind];
      line.name = kind;
      line.markers = true;
      line.x.push_back(row["nfe"].get<double>());
      line.y.push_back(row[key].get<double>());
    }
    io::Chart chart;
    chart.title = label;
    chart.x = {"network evaluations", true, {}, {}};
    chart.y = {label, false, 0.0, {}};
    for (auto& [kind, line] : lines) chart.series.push_back(std::move(line));
    charts.push_back(std::move(chart));
  }
  return io::render_charts(charts, 2);
}

}  // namespace

void add_distill_options(CLI::App& app, DistillReportArgs& args) {
  app.add_option("--run", args.run, "run directory written by ups-train")->required();
  app.add_option("--split", args.split, "which split to score")->check(CLI::IsMember({"test", "val"}));
  app.add_option("--members", args.members, "samples per state")->check(CLI::Range(int64_t{2}, int64_t{1024}));
  app.add_option("--windows", args.windows, "states per trajectory, evenly spread")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_flag("--print-json", args.print_json, "print JSON instead of the table");
}

int run_distill_report(const DistillReportArgs& args, const std::string& command_line) {
  Session session = open_run(args.run, command_line, 0, "auto");
  const RunConfig& c = session.config();
  auto& space = session.space("operator");
  const auto op = load_operator(c, space, require_trained(session.store, "operator", "ups-eval distill"));
  const auto student = load_corrector(c, space, require_trained(session.store, "consistency_distill", "ups-eval distill"));
  const auto teacher = load_corrector(c, space, require_trained(session.store, "diff_residual", "ups-eval distill"));
  const auto held_out = stages::hold_out(space, args.split == "test" ? data::Split::test : data::Split::val, stages::kValidationTrajectories, c.data.initial_step);
  const at::NoGradGuard no_grad;
  std::vector<Way> all = ways(c, *teacher, *student);
  const int64_t states = held_out.fields.size(1) - 1 - held_out.first, windows = std::min(args.windows, states);
  for (int64_t w = 0; w < windows; ++w) {
    const int64_t frame = held_out.first + w * states / windows;
    const auto rows = stages::held_out_rows(held_out, *op, *teacher, frame);
    at::Tensor ends;
    for (Way& way : all) {
      const double started = cpu_seconds();
      std::vector<at::Tensor> members;
      for (int64_t m = 0; m < args.members; ++m) members.push_back(way.draw(rows, stages::window_noise(rows.z, frame, m)));
      way.seconds += cpu_seconds() - started;
      const at::Tensor x = at::stack(members);
      if (!ends.defined()) ends = x;
      way.square += (x - ends).square().mean().item<double>();
      way.scores.add(x, rows.r);
    }
  }
  const double posterior = all[0].scores.spread(), alone = all[0].scores.mean_error(), gain = alone - all[1].scores.crps();
  const double samples = static_cast<double>(windows * args.members * held_out.fields.size(0));
  nlohmann::json report = {{"split", args.split}, {"members", args.members}, {"states", windows * held_out.fields.size(0)}, {"posterior_std", posterior},
                           {"operator_mae", alone}, {"rows", nlohmann::json::array()}};
  std::string table = fmt::format("operator's mean absolute error {:.4f}, posterior standard deviation {:.4f} (in units of the residual's RMS)\n", alone, posterior);
  table += fmt::format("{:<18} {:>4} {:>11} {:>10} {:>10} {:>13} {:>10}\n", "sampler", "NFE", "path error", "fair CRPS", "CRPS gain", "spread/skill", "CPU ms");
  for (const Way& way : all) {
    const double path = std::sqrt(way.square / static_cast<double>(windows)) / posterior, share = (alone - way.scores.crps()) / gain, ms = 1e3 * way.seconds / samples;
    table += fmt::format("{:<18} {:>4} {:>11} {:>10.4f} {:>8.1f} % {:>13.3f} {:>10.3f}\n", way.name, way.evaluations, way.on_path ? fmt::format("{:.3f}", path) : "-",
                         way.scores.crps(), 100 * share, way.scores.spread_skill(), ms);
    report["rows"].push_back({{"sampler", way.name}, {"nfe", way.evaluations}, {"fair_crps", way.scores.crps()}, {"gain_share", share},
                              {"spread_skill", way.scores.spread_skill()}, {"cpu_ms", ms}});
    if (way.on_path) report["rows"].back()["path_error"] = path;
  }
  const auto plots = session.dir.file("plots");
  io::make_directories(plots);
  io::write_text_atomic(plots / "distill.svg", picture(report["rows"]));
  const auto folder = session.dir.file("eval");
  io::make_directories(folder);
  io::write_text_atomic(folder / "distill.txt", table);
  io::write_text_atomic(folder / "distill.json", report.dump(2) + "\n");
  if (args.print_json) std::cout << report.dump(2) << "\n";
  else log::info("\n" + table);
  return 0;
}

}  // namespace ups::run
