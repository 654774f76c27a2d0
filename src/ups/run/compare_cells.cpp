#include "ups/run/compare_cells.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/files.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {
namespace {

namespace fs = std::filesystem;

nlohmann::json read_json(const fs::path& path, uint64_t max_bytes = 64 << 20) {
  io::ReadOptions options;
  options.max_bytes = max_bytes;
  options.code = ExitCode::checkpoint;
  auto j = nlohmann::json::parse(io::read_text(path, options), nullptr, false);
  if (j.is_discarded()) throw checkpoint_error(path.string(), "is not JSON", "remove it, and the cell runs again");
  return j;
}

double number(const nlohmann::json& j, const char* key) {
  const auto it = j.find(key);
  return it != j.end() && it->is_number() ? it->get<double>() : std::numeric_limits<double>::quiet_NaN();
}

Overrides overrides_of(const CompareArgs& args) {
  Overrides o;
  o.sets = args.sets;
  o.stage = args.stage;
  o.allow_env = true;
  return o;
}

}  // namespace

double TestResult::score() const { return std::isfinite(rollout) ? rollout : one_step; }

std::vector<Contender> load_contenders(const CompareArgs& args) {
  std::vector<Contender> out;
  std::string first_data;
  for (const auto& text : args.contenders) {
    Contender c;
    const auto equals = text.find('=');
    c.files = split(equals == std::string::npos ? text : text.substr(equals + 1), '+');
    c.name = equals == std::string::npos ? fs::path(c.files.back()).stem().string() : text.substr(0, equals);
    for (const auto& other : out)
      if (other.name == c.name) throw usage_error("CONFIG", "two contenders are called '" + c.name + "'", "name them: other=" + text);
    if (c.name.empty() || c.name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != std::string::npos)
      throw usage_error("CONFIG", "'" + c.name + "' is no name for files", "use letters, digits, dot, dash and underscore: NAME=FILE");
    const RunConfig config = load_run_config(c.files, overrides_of(args)).config;
    const auto& data = stage_data(config, args.stage);
    std::string files = fmt::format("initial_step {}, split_seed {}, num_samples_max {}, train_frames {}, reduced_resolution {} and {} in time, files", data.initial_step,
                                    data.split_seed, data.num_samples_max, data.train_frames.value_or(0), data.reduced_resolution, data.reduced_resolution_t);
    for (const auto& f : data.files) files += " " + f;
    if (first_data.empty()) first_data = files;
    if (files != first_data)
      throw usage_error(text, "has other data than " + args.contenders[0] + ": " + clip_text(files, 200), "give all contenders the same data block, for example with --set");
    const bool own = stage_block(config, args.stage) != nullptr && stage_block(config, args.stage)->optimizer.has_value();
    c.optimizer_block = own ? "stages." + args.stage + ".optimizer" : "optimizer";
    const optim::OptimizerOptions o = resolve_stage(config, args.stage).optimizer;
    c.optimizer = o.name;
    c.rates["lr"] = o.lr;
    if (o.muon_lr) c.rates["muon_lr"] = *o.muon_lr;
    if (o.adamw_lr) c.rates["adamw_lr"] = *o.adamw_lr;
    out.push_back(std::move(c));
  }
  return out;
}

CompareFolder::CompareFolder(const CompareArgs& args, std::vector<Contender> contenders, std::string programs)
    : args_(args), contenders_(std::move(contenders)), programs_(std::move(programs)) {
  io::make_directories(fs::path(args_.out) / "cells");
  io::make_directories(fs::path(args_.out) / "runs");
}

std::string CompareFolder::id(const Cell& cell) const {
  return fmt::format("{}-{}-x{:.3g}-seed{}", contenders_[cell.contender].name, cell.optimizer, cell.factor, cell.seed);
}

fs::path CompareFolder::run_dir(const Cell& cell) const { return fs::path(args_.out) / "runs" / id(cell); }
fs::path CompareFolder::log_file(const Cell& cell) const { return fs::path(args_.out) / "cells" / (id(cell) + ".log"); }

std::vector<std::string> CompareFolder::train_command(const Cell& cell) const {
  const Contender& c = contenders_[cell.contender];
  std::vector<std::string> command{programs_ + "/ups-train"};
  for (const auto& f : c.files) command.insert(command.end(), {"--config", f});
  command.insert(command.end(), {"--stage", args_.stage, "--run-dir", run_dir(cell).string(), "--resume=auto", "--threads", "1", "--seed",
                                 std::to_string(17 + cell.seed), "--progress", "none"});
  const auto set = [&](const std::string& text) { command.insert(command.end(), {"--set", text}); };
  for (const auto& s : args_.sets) set(s);
  set(fmt::format("training.cpu_seconds={}", args_.cpu_seconds));
  set("stages." + args_.stage + ".epochs=1000000");
  set("evaluation.enabled=false");
  if (cell.optimizer != c.optimizer) set(c.optimizer_block + ".name=" + cell.optimizer);
  for (const auto& [key, rate] : c.rates) set(fmt::format("{}.{}={:.6g}", c.optimizer_block, key, rate * cell.factor));
  return command;
}

std::vector<std::string> CompareFolder::evaluate_command(const Cell& cell) const {
  std::vector<std::string> command{programs_ + "/ups-eval", "--run", run_dir(cell).string(), "--threads", "1"};
  if (cell.seed != 0) command.push_back("--no-plots");
  return command;
}

std::optional<CellResult> CompareFolder::result(const Cell& cell) const {
  const fs::path path = fs::path(args_.out) / "cells" / (id(cell) + ".json");
  if (!fs::exists(path)) return std::nullopt;
  const auto j = read_json(path);
  CellResult r;
  r.command = j.value("command", "");
  const std::string now = join(train_command(cell), " ");
  if (r.command.substr(r.command.find(' ') + 1) != now.substr(now.find(' ') + 1))
    throw usage_error(path.string(), "holds a cell of another command: " + clip_text(r.command, 300), "choose another --out, or remove the file and the cell's run directory");
  r.split_hash = j.value("split_hash", "");
  r.exit_code = j.value("exit_code", 0);
  r.validation = r.exit_code == 0 ? number(j, "validation") : std::numeric_limits<double>::infinity();
  r.cpu_seconds = number(j, "cpu_seconds");
  r.updates = j.value("updates", int64_t{0});
  r.parameters = j.value("parameters", int64_t{0});
  return r;
}

CellResult CompareFolder::collect(const Cell& cell, int exit_code) const {
  CellResult r;
  r.command = join(train_command(cell), " ");
  r.exit_code = exit_code;
  r.validation = std::numeric_limits<double>::infinity();
  io::ReadOptions options;
  options.max_bytes = 256 << 20;
  options.code = ExitCode::checkpoint;
  for (const auto& line : split(io::read_text(run_dir(cell) / "metrics.jsonl", options), '\n')) {
    const auto j = nlohmann::json::parse(line, nullptr, false);
    if (!j.is_object()) continue;
    r.split_hash = j.value("split_hash", r.split_hash);
    r.parameters = j.value("parameters", r.parameters);
    r.updates = j.value("update", r.updates);
    // Best by validation is what the run exports.
    if (exit_code == 0)
      for (const auto& [key, value] : j.items())
        if (ends_with(key, "/val_score") && value.is_number()) r.validation = std::min(r.validation, value.get<double>());
  }
  if (exit_code == 0) r.cpu_seconds = number(read_json(run_dir(cell) / "costs.json"), args_.stage.c_str());
  nlohmann::ordered_json j{{"contender", contenders_[cell.contender].name}, {"optimizer", cell.optimizer}, {"lr_factor", cell.factor},
                           {"seed", cell.seed}, {"command", r.command}, {"exit_code", exit_code}, {"split_hash", r.split_hash},
                           {"parameters", r.parameters}, {"updates", r.updates}, {"cpu_seconds", r.cpu_seconds}, {"budget", args_.cpu_seconds}};
  if (std::isfinite(r.validation)) j["validation"] = r.validation;
  io::write_text_atomic(fs::path(args_.out) / "cells" / (id(cell) + ".json"), j.dump(2) + "\n");
  return r;
}

std::vector<StoredChoice> stored_choices(const std::string& folder) {
  const fs::path path = fs::path(folder) / "compare.json";
  if (!fs::exists(path)) throw usage_error("--choices " + folder, "holds no compare.json", "give the --out of a finished comparison");
  io::ReadOptions options;
  options.max_bytes = 64 << 20;
  std::vector<StoredChoice> out;
  try {
    const auto j = nlohmann::json::parse(io::read_text(path, options));
    for (const auto& row : j.at("rows"))
      out.push_back({row.at("name").get<std::string>(), row.at("optimizer").get<std::string>(), row.at("lr_factor").get<double>(), j.at("cpu_seconds").get<double>(),
                     j.at("stage").get<std::string>()});
  } catch (const nlohmann::json::exception&) {
    throw usage_error(path.string(), "is no report of ups-eval compare", "call that comparison again: it rewrites its report");
  }
  return out;
}

std::optional<TestResult> CompareFolder::test(const Cell& cell) const {
  const fs::path path = run_dir(cell) / "eval/evaluation.json";
  if (!fs::exists(path)) return std::nullopt;
  const auto j = read_json(path);
  TestResult t;
  std::string set;
  for (const auto& row : j.at("table")) {
    if (row.value("model", "") != args_.stage) continue;
    set = row.value("set", "");
    t.one_step = number(row, "one_step_nrmse");
    t.rollout = number(row, "rollout_nrmse");
    break;
  }
  if (set.empty()) throw checkpoint_error(path.string(), "has no row for " + args_.stage, "remove it, and the run is scored again");
  const char* kind = std::isfinite(t.rollout) ? "rollout_nrmse" : "one_step_nrmse";
  for (const auto& row : j.at("table")) {
    if (row.value("set", "") != set) continue;
    if (row.value("model", "") == "persistence") t.persistence = number(row, kind);
    if (row.value("model", "") == "climatology") t.climatology = number(row, kind);
  }
  if (!std::isfinite(t.rollout)) return t;
  const auto& times = j.at("per_time").at(set);
  for (const auto& v : times.at("time")) t.time.push_back(v.get<double>());
  for (const auto& frame : times.at(args_.stage).at("rollout").at("nrmse")) {
    double sum = 0;
    for (const auto& v : frame) sum += v.is_number() ? v.get<double>() : std::numeric_limits<double>::quiet_NaN();
    t.error_over_time.push_back(sum / static_cast<double>(frame.size()));
  }
  return t;
}

}  // namespace ups::run
