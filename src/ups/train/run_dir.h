// The run directory (cli.md 7): claiming, locking and the small files in it.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ups/train/run_lock.h"

namespace ups::train {

class RunDir {
 public:
  // A new run: creates the directory exclusively and locks it. If it exists without a run in it (no config.yaml, metrics.jsonl, ckpt)
  // it is used; with a run in it: exit 2 advising --resume. Busy: exit 8.
  static RunDir create(const std::filesystem::path& path, const std::string& command);
  // An existing run, for resuming (exclusive lock) or reading (shared lock). Missing: exit 4. Busy: exit 8.
  static RunDir open(const std::filesystem::path& path, const std::string& command, RunLock::Mode mode, std::chrono::milliseconds patience = {});

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path file(std::string_view name) const { return path_ / name; }
  std::filesystem::path ckpt() const { return path_ / "ckpt"; }
  std::filesystem::path metrics() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path exports() const { return path_ / "checkpoints"; }  // operator.pt and friends
  // Atomic and durable; makes missing folders below the run directory.
  void write_text(std::string_view name, std::string_view text) const;

 private:
  RunDir(std::filesystem::path path, RunLock lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::filesystem::path path_;
  RunLock lock_;
};

// "runs/<name>-<UTC yyyymmdd-hhmmss>"; name must be a safe name (else exit 2). Suffix -2, -3 .. if taken.
std::filesystem::path default_run_path(const std::string& name);

// env.json: host facts and an allow-list of variables (CUDA_*, OMP_*, MKL_*, SLURM_*, TORCH*, NCCL_*, UPS_*, LANG, TZ), never tokens.
std::string env_json(const std::map<std::string, std::string>& facts);

// UPS's stage_status.json; written for its tools, never read back for decisions.
struct StageStatus {
  std::string stage, status = "not_started";  // not_started in_progress completed failed
  std::string checkpoint, started_at, completed_at, error_message;
  int64_t epoch = 0, total_epochs = 0;
};
std::string stage_status_json(const std::vector<StageStatus>& stages);

// UPS's metadata.json beside the exported weights.
struct ExportMetadata {
  std::map<std::string, int64_t> arch;            // latent_dim, latent_tokens, operator_hidden_dim, operator_num_heads, diffusion_hidden_dim
  std::vector<int64_t> operator_depths;
  bool trained = true, ups_loadable = false;
  std::string config_hash, config_path;
};
std::string metadata_json(const ExportMetadata& metadata);

std::string utc_now();  // "2026-01-31T12:00:00Z"

}  // namespace ups::train
