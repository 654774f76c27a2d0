#include "run_fixture.h"

#include <ATen/ATen.h>
#include <unistd.h>
#define UPS_TEST_WITH_TORCH

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "test_common.h"
#include "ups/data/generators/generator.h"
#include "ups/run/pipeline.h"
#include "ups/train/checkpoint.h"

namespace ups::test {
namespace fs = std::filesystem;
namespace {

struct Scratch {
  fs::path path = fs::temp_directory_path() / ("ups-pipeline-" + std::to_string(getpid()));
  Scratch() { fs::create_directories(path); }
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
};

std::string slurp(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

const fs::path& scratch() {
  static const Scratch s;
  return s.path;
}

std::string tiny_config() {
  static const std::string path = [] {
    data::GenerateOptions waves;
    waves.name = "advection1d";
    waves.out = (scratch() / "advection.hdf5").string();
    waves.count = 40;
    waves.nx = 32;
    waves.t_end = 0.4;
    waves.save_every = 0.05;
    waves.params["beta"] = 1.0;
    waves.threads = 1;
    data::generate(waves);
    data::GenerateOptions darcy;
    darcy.name = "darcy2d";
    darcy.out = (scratch() / "darcy.hdf5").string();
    darcy.count = 140;
    darcy.nx = 16;
    darcy.threads = 1;
    data::generate(darcy);
    const std::string file = (scratch() / "tiny.yaml").string();
    std::ofstream out(file);
    out << "threads: 1\n"
        << "data: {files: [" << waves.out << "], initial_step: 2, patch_size: 2, split_fractions: [0.5, 0.25, 0.25]}\n"
        << "operator: {pdet: {hidden_dim: 8, depths: [1, 1], num_heads: 2, modes: 4, mlp_ratio: 1}}\n"
        << "diffusion: {gate: 0, sampler: \"euler:2\"}\n"
        << "training: {batch_size: 16, ema_decay: 0.9, grad_clip: 1.0}\n"
        << "optimizer: {name: adamw, lr: 2.0e-3}\n"
        << "evaluation: {ensemble: 2}\n"
        << "stages:\n  operator: {epochs: 2}\n  diff_residual: {epochs: 2}\n  consistency_distill: {epochs: 2}\n"
        << "  steady_prior: {epochs: 2, data: {files: [" << darcy.out << "], patch_size: 2, split_fractions: [0.5, 0.25, 0.25]}}\n";
    return file;
  }();
  return path;
}

int train(const std::string& stage, const fs::path& run_dir, const std::vector<std::string>& sets, bool resume, const std::string& stop_after,
          bool allow_config_change) {
  run::TrainArgs args;
  args.configs = {tiny_config()};
  args.stage = stage;
  args.run_dir = run_dir.string();
  args.sets = sets;
  args.progress = "none";
  args.allow_config_change = allow_config_change;
  if (resume) args.resume = run::TrainArgs::Resume::automatic;
  if (!stop_after.empty()) args.stop_after = run::parse_stop_after(stop_after);
  return run::run_training(args, "test");
}

fs::path prepared(const std::string& stage) {
  static const fs::path all = [] {
    const fs::path dir = scratch() / "all";
    REQUIRE(train("all", dir) == 0);
    return dir;
  }();
  static int count = 0;
  const fs::path copy = copy_run(all, "run" + std::to_string(count++));
  if (stage == "operator") fs::remove_all(copy / "ckpt/operator");
  if (stage == "operator" || stage == "diff_residual") fs::remove_all(copy / "ckpt/diff_residual");
  if (stage != "steady_prior") fs::remove_all(copy / "ckpt/consistency_distill");
  if (stage == "steady_prior") fs::remove_all(copy / "ckpt/steady_prior");
  fs::remove(copy / "metrics.jsonl");
  fs::remove(copy / "reports/training_log.jsonl");
  return copy;
}

std::map<std::string, std::string> newest_files(const fs::path& run_dir, const std::string& stage) {
  train::CheckpointStore store(run_dir / "ckpt", 3);
  const auto steps = store.steps(stage);
  std::map<std::string, std::string> files;
  if (steps.empty()) return files;
  for (const auto& e : fs::directory_iterator(store.step_path(stage, steps.back()))) {
    if (e.path().extension() == ".safetensors") files[e.path().filename().string()] = slurp(e.path());
  }
  return files;
}

train::RunState final_state(const fs::path& run_dir, const std::string& stage) {
  train::CheckpointStore store(run_dir / "ckpt", 3);
  const auto content = store.load_newest(stage);
  REQUIRE(content);
  return train::RunState::from_json(content->state_json, "state");
}

std::vector<std::string> stable_records(const fs::path& run_dir) {
  std::vector<std::string> out;
  std::ifstream in(run_dir / "metrics.jsonl");
  for (std::string line; std::getline(in, line);) {
    auto j = nlohmann::json::parse(line);
    if (j["kind"] != "epoch" && j["kind"] != "skip") continue;
    for (auto it = j.begin(); it != j.end();) {
      const std::string key = it.key();
      const bool is_volatile = key.size() > 4 && key.compare(key.size() - 4, 4, "_sec") == 0;
      it = is_volatile ? j.erase(it) : std::next(it);
    }
    out.push_back(j.dump());
  }
  return out;
}

fs::path copy_run(const fs::path& run_dir, const std::string& name) {
  const fs::path to = scratch() / name;
  fs::copy(run_dir, to, fs::copy_options::recursive);
  return to;
}

}  // namespace ups::test
