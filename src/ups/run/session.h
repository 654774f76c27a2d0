// What the stages of one run share: configuration, directory, checkpoints, device, log.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <optional>

#include "ups/io/jsonl.h"
#include "ups/run/run_config.h"
#include "ups/run/train_cli.h"
#include "ups/stages/field_space.h"
#include "ups/train/checkpoint.h"
#include "ups/train/run_dir.h"

namespace ups::run {

// "auto", "cpu", "cuda", "cuda:1" -> device; exit 2 when it is not there.
at::Device choose_device(const std::string& text);
// Threads, malloc thresholds, deterministic algorithms.
void prepare_process(const RunConfig& config);
// The resolved configuration that a run wrote (config.yaml of its directory); exit 4 when it cannot be read.
LoadedConfig stored_config(const std::filesystem::path& file);
// Physical cores of this machine, at most the CPUs this process may use.
int default_threads();

class Session {
 public:
  Session(LoadedConfig loaded, train::RunDir dir, at::Device device);

  const RunConfig& config() const { return loaded.config; }
  // The data of a stage, opened once per distinct block; writes split.json and normalizer.json beside the run.
  stages::FieldSpace& space(const std::string& stage);
  // Wall and CPU seconds of finished stages; kept in costs.json.
  void add_cost(const std::string& stage, double cpu_seconds);
  double cost(const std::string& stage) const;

  LoadedConfig loaded;
  train::RunDir dir;
  at::Device device;
  train::CheckpointStore store;
  std::unique_ptr<io::JsonlWriter> metrics, flat_log;

 private:
  std::map<std::string, std::unique_ptr<stages::FieldSpace>> spaces_;
  std::map<std::string, double> costs_;
};

// A finished run, opened for reading beside others; threads 0 = the run's own. Exit 4 when the folder is no run directory.
Session open_run(const std::filesystem::path& run, const std::string& command_line, int64_t threads, const std::string& device);

}  // namespace ups::run
