#include "ups/train/run_dir.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <ctime>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/files.h"

namespace ups::train {

namespace fs = std::filesystem;

RunDir RunDir::create(const fs::path& path, const std::string& command) {
  if (path.has_parent_path()) io::make_directories(path.parent_path());
  // mkdir decides between two runs that start together where locks do not work; where they do, the lock decides.
  if (::mkdir(path.c_str(), 0755) != 0 && errno != EEXIST)
    io::throw_errno(errno, path.string(), "create the run directory");
  if (!fs::is_directory(path)) throw usage_error(path.string(), "is not a directory", "give another --run-dir");
  RunLock lock(path, RunLock::Mode::exclusive, command);
  for (const char* name : {"config.yaml", "metrics.jsonl", "ckpt"}) {
    if (!fs::exists(path / name)) continue;
    throw usage_error(path.string(), "already holds a run (" + std::string(name) + ")",
                      "continue it with --resume=auto, or give another --run-dir");
  }
  return {path, std::move(lock)};
}

RunDir RunDir::open(const fs::path& path, const std::string& command, RunLock::Mode mode, std::chrono::milliseconds patience) {
  if (!fs::is_directory(path)) throw checkpoint_error(path.string(), "there is no such run directory");
  return {path, RunLock(path, mode, command, patience)};
}

void RunDir::write_text(std::string_view name, std::string_view text) const {
  const fs::path target = file(name);
  io::make_directories(target.parent_path());
  io::write_text_atomic(target, text);
}

fs::path default_run_path(const std::string& name) {
  if (!is_safe_name(name))
    throw usage_error("--name", "'" + name + "' cannot be a run's name",
                      "use letters, digits, '.', '_' and '-', at most 64, not starting with '.' or '-'");
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char stamp[32];
  std::strftime(stamp, sizeof stamp, "%Y%m%d-%H%M%S", &utc);
  const std::string base = name + "-" + stamp;
  fs::path path = fs::path("runs") / base;
  for (int k = 2; fs::exists(path); ++k) path = fs::path("runs") / (base + "-" + std::to_string(k));
  return path;
}

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
  return text;
}

}  // namespace ups::train
