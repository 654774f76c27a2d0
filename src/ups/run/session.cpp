#include "ups/run/session.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <sched.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "ups/core/error.h"
#include "ups/core/process.h"
#include "ups/io/files.h"
#include "ups/run/latent_space.h"

namespace ups::run {

at::Device choose_device(const std::string& text) {
  const bool cuda = at::hasCUDA();
  if (text == "cpu") return at::kCPU;
  if (text == "auto") return cuda ? at::Device(at::kCUDA, 0) : at::Device(at::kCPU);
  if (text.rfind("cuda", 0) == 0) {
    if (!cuda) throw usage_error("--device", "'" + text + "' was asked for, but this build or machine has no CUDA device", "use --device cpu or auto");
    return at::Device(text);
  }
  throw usage_error("--device", "unknown device '" + text + "'", "use auto, cpu, cuda or cuda:N");
}

int default_threads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  int allowed = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) allowed = CPU_COUNT(&set);
  std::set<std::pair<int, int>> cores;
  for (int cpu = 0; cpu < 1024; ++cpu) {
    const std::string base = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::ifstream package(base + "physical_package_id"), core(base + "core_id");
    int p = 0, c = 0;
    if (!(package >> p) || !(core >> c)) break;
    cores.emplace(p, c);
  }
  return std::max(1, cores.empty() ? allowed : std::min<int>(allowed, static_cast<int>(cores.size())));
}

void prepare_process(const RunConfig& config) {
  raise_malloc_thresholds();
  // Small models lose CPU-seconds on a second thread: one thread unless the user says otherwise.
  at::set_num_threads(static_cast<int>(config.threads.value_or(default_threads())));
  if (config.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, false);
    at::globalContext().setDeterministicCuDNN(true);
    at::globalContext().setBenchmarkCuDNN(false);
  }
}

LoadedConfig stored_config(const std::filesystem::path& file) {
  io::ReadOptions options;
  options.max_bytes = 1 << 20;
  options.code = ExitCode::checkpoint;
  Overrides overrides;
  overrides.allow_env = true;
  return load_run_config_text(io::read_text(file, options), file.string(), overrides);
}

Session::Session(LoadedConfig config, train::RunDir run_dir, at::Device on)
    : loaded(std::move(config)),
      dir(std::move(run_dir)),
      device(on),
      store(dir.ckpt(), static_cast<int>(loaded.config.checkpoint.keep)) {
  std::ifstream in(dir.file("costs.json"));
  if (!in) return;
  try {
    const auto costs = nlohmann::json::parse(in);  // named: items() of a temporary would dangle
    for (const auto& [stage, seconds] : costs.items()) costs_[stage] = seconds.get<double>();
  } catch (const nlohmann::json::exception&) {
    costs_.clear();  // only feeds the length of the control run
  }
}

stages::FieldSpace& Session::space(const std::string& stage) {
  const bool own = stage == "steady_prior" && config().stages.steady_prior.data;
  const bool latent = works_on_latents(config(), stage);
  const std::string key = own ? "steady_prior" : latent ? "latent" : "data";
  auto& slot = spaces_[key];
  if (!slot && latent) {
    auto encoded = std::make_unique<stages::FieldSpace>(space("autoencoder"));
    use_autoencoder(config(), *encoded, store, stage);
    spaces_[key] = std::move(encoded);
  } else if (!slot) {
    slot = stages::open_field_space(stage_data(config(), stage), own ? 1 : config().training.time_stride, device);
    dir.write_text(own ? "split.steady_prior.json" : "split.json", slot->dataset->split_json() + "\n");
    dir.write_text(own ? "normalizer.steady_prior.json" : "normalizer.json", slot->normalizer.json() + "\n");
  }
  return *spaces_[key];
}

void Session::add_cost(const std::string& stage, double cpu_seconds) {
  costs_[stage] += cpu_seconds;
  dir.write_text("costs.json", nlohmann::json(costs_).dump() + "\n");
}

double Session::cost(const std::string& stage) const {
  const auto it = costs_.find(stage);
  return it == costs_.end() ? 0 : it->second;
}

Session open_run(const std::filesystem::path& run, const std::string& command_line, int64_t threads, const std::string& device) {
  if (!std::filesystem::exists(run / "config.yaml"))
    throw checkpoint_error(run.string(), "is not a run directory (no config.yaml)", "give the folder that ups-train printed");
  auto dir = train::RunDir::open(run, command_line, train::RunLock::Mode::shared, std::chrono::seconds(2));
  LoadedConfig loaded = stored_config(run / "config.yaml");
  if (threads > 0) loaded.config.threads = threads;
  prepare_process(loaded.config);
  return Session(std::move(loaded), std::move(dir), choose_device(device));
}

}  // namespace ups::run
