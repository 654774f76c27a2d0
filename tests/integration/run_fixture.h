// A tiny pipeline on tiny generated data, run inside the test process.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "ups/run/train_cli.h"
#include "ups/train/run_state.h"

namespace ups::test {

// Removed with everything in it at the end of the process.
const std::filesystem::path& scratch();
// Writes the shared data sets once and returns the path of the tiny configuration (all stages, 2 epochs each).
std::string tiny_config();
// ups-train --config tiny --stage STAGE --run-dir DIR --set ..; returns the exit code, throws ups::Error.
int train(const std::string& stage, const std::filesystem::path& run_dir, const std::vector<std::string>& sets = {}, bool resume = false,
          const std::string& stop_after = "", bool allow_config_change = true);
// A run of the tiny configuration in which every stage before `stage` is finished.
std::filesystem::path prepared(const std::string& stage);
// Contents of the newest checkpoint's files of a stage, by name.
std::map<std::string, std::string> newest_files(const std::filesystem::path& run_dir, const std::string& stage);
// The state of the newest checkpoint of a stage.
train::RunState final_state(const std::filesystem::path& run_dir, const std::string& stage);
// The epoch records of metrics.jsonl without volatile keys.
std::vector<std::string> stable_records(const std::filesystem::path& run_dir);
// A copy of a run directory.
std::filesystem::path copy_run(const std::filesystem::path& run_dir, const std::string& name);

}  // namespace ups::test
