#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "ups/core/text.h"
#include "ups/io/files.h"
#include "ups/io/svg.h"
#include "ups/run/compare_cells.h"

namespace ups::run {
namespace {

struct Row {
  std::string name, choice, optimizer;
  double factor = 1;
  int64_t parameters = 0;
  double updates = 0, cpu_seconds = 0, validation = 0;  // means over the seeds
  double mean = 0, low = 0, high = 0, one_step = 0;     // test score over the seeds
  TestResult first;                                     // baselines are the same for every seed
  std::vector<double> time, error, error_low, error_high;
  std::vector<std::string> commands;
};

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos) return line.substr(line.find(": ") + 2);
  return "unknown processor";
}

Row row_of(const CompareFolder& folder, const Chosen& chosen) {
  const Contender& contender = folder.contenders()[chosen.cell.contender];
  Row row;
  row.name = contender.name;
  row.choice = fmt::format("{} lr {:.3g}, {}", chosen.cell.optimizer, contender.rates.at("lr") * chosen.cell.factor, chosen.how);
  row.optimizer = chosen.cell.optimizer;
  row.factor = chosen.cell.factor;
  row.parameters = chosen.result.parameters;
  row.low = INFINITY;
  const auto seeds = static_cast<double>(folder.args().seeds);
  for (int64_t seed = 0; seed < folder.args().seeds; ++seed) {
    Cell cell = chosen.cell;
    cell.seed = seed;
    const CellResult r = folder.result(cell).value();
    const TestResult t = folder.test(cell).value();
    row.updates += static_cast<double>(r.updates) / seeds;
    row.cpu_seconds += r.cpu_seconds / seeds;
    row.validation += r.validation / seeds;
    row.mean += t.score() / seeds;
    row.one_step += t.one_step / seeds;
    row.low = std::min(row.low, t.score());
    row.high = std::max(row.high, t.score());
    row.commands.push_back(r.command);
    if (seed == 0) {
      row.first = t;
      row.time = t.time;
      row.error.assign(t.time.size(), 0);
      row.error_low = row.error_high = t.error_over_time;
    }
    for (size_t k = 0; k < row.error.size() && k < t.error_over_time.size(); ++k) {
      row.error[k] += t.error_over_time[k] / seeds;
      row.error_low[k] = std::min(row.error_low[k], t.error_over_time[k]);
      row.error_high[k] = std::max(row.error_high[k], t.error_over_time[k]);
    }
  }
  return row;
}

// Best first; how far each is from the first contender that was named.
std::string table(const std::vector<Row>& rows, const std::string& ours, double our_mean, bool steady) {
  std::string out = fmt::format("| model | parameters | chosen by validation | updates | CPU-s | validation | test one-step | test {} (range over seeds) | / {} | / persistence | / climatology |\n",
                                steady ? "error" : "rollout", ours);
  out += "|---|---|---|---|---|---|---|---|---|---|---|\n";
  const auto ratio = [](double a, double b) { return std::isfinite(a / b) ? fmt::format("{:.3g}", a / b) : std::string("-"); };
  for (const Row& r : rows)
    out += fmt::format("| {} | {} | {} | {:.0f} | {:.0f} | {:.4g} | {:.4g} | {:.4g} ({:.4g} .. {:.4g}) | {:.2f} | {} | {} |\n", r.name, r.parameters, r.choice, r.updates,
                       r.cpu_seconds, r.validation, r.one_step, r.mean, r.low, r.high, r.mean / our_mean, ratio(r.mean, r.first.persistence),
                       ratio(r.mean, r.first.climatology));
  return out;
}

std::string sentence(const std::vector<Row>& rows, int64_t seeds) {
  if (rows.size() < 2) return "";
  const Row &best = rows[0], &next = rows[1];
  const bool apart = best.high < next.low;
  return fmt::format("{} has the lowest mean: {:.2f}x that of {}; the ranges over {} seed{} {}.\n", best.name, best.mean / next.mean, next.name, seeds, seeds > 1 ? "s" : "",
                     apart ? "do not overlap" : "overlap");
}

}  // namespace

void report_comparison(const CompareFolder& folder, const std::vector<Chosen>& chosen) {
  const CompareArgs& args = folder.args();
  std::vector<Row> rows;
  for (const auto& c : chosen) rows.push_back(row_of(folder, c));
  const std::string ours = rows[0].name;
  const double our_mean = rows[0].mean;
  const bool steady = rows[0].time.empty();
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.mean < b.mean; });
  const std::string head = fmt::format("{} CPU-s of training and validation per cell, one thread, {} at a time, {} seed{}; {}. nRMSE in physical units.\n", args.cpu_seconds, args.jobs,
                                       args.seeds, args.seeds > 1 ? "s" : "", processor());
  std::string text = head + "\n" + table(rows, ours, our_mean, steady) + "\n" + sentence(rows, args.seeds);
  fmt::print("{}", text);
  text += "\nOne cell again:\n\n";
  for (const Row& r : rows) text += "    " + r.commands[0] + "\n";
  const std::filesystem::path out = args.out;
  io::write_text_atomic(out / "compare.md", text);
  nlohmann::ordered_json j{{"cpu_seconds", args.cpu_seconds}, {"seeds", args.seeds}, {"jobs", args.jobs}, {"stage", args.stage}, {"processor", processor()}};
  io::Chart chart;
  chart.title = fmt::format("Rollout error, mean and range over {} seeds", args.seeds);
  chart.x.label = "time";
  chart.y = {"nRMSE", true, {}, {}};
  for (const Row& r : rows) {
    j["rows"].push_back({{"name", r.name}, {"parameters", r.parameters}, {"choice", r.choice}, {"optimizer", r.optimizer}, {"lr_factor", r.factor}, {"updates", r.updates}, {"cpu_seconds", r.cpu_seconds},
                         {"validation", r.validation}, {"one_step", r.one_step}, {"mean", r.mean}, {"low", r.low}, {"high", r.high},
                         {"persistence", r.first.persistence}, {"climatology", r.first.climatology}, {"commands", r.commands}});
    io::Series s;
    s.name = r.name;
    s.x = r.time;
    s.y = r.error;
    s.low = r.error_low;
    s.high = r.error_high;
    chart.series.push_back(std::move(s));
  }
  io::write_text_atomic(out / "compare.json", j.dump(2) + "\n");
  if (!steady) io::write_text_atomic(out / "compare.svg", io::render_chart(chart));
  fmt::print("written: {}/compare.md, compare.json{}\n", args.out, steady ? "" : ", compare.svg");
}

}  // namespace ups::run
