#include "ups/train/checkpoint.h"

#include <fcntl.h>
#include <stdio.h>  // renameat2
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cstdio>
#include <set>

#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/io/jsonl.h"
#include "ups/train/checkpoint_files.h"
#include "ups/train/checkpoint_manifest.h"
#include "ups/train/run_dir.h"

namespace ups::train {

namespace fs = std::filesystem;

std::string step_name(int64_t step) {
  char text[32];
  std::snprintf(text, sizeof text, "step-%09lld", static_cast<long long>(step));
  return text;
}

std::optional<int64_t> parse_step_name(const std::string& name) {
  if (name.size() < 14 || name.size() > 23 || name.compare(0, 5, "step-") != 0) return std::nullopt;
  int64_t step = 0;
  for (size_t i = 5; i < name.size(); ++i) {
    if (name[i] < '0' || name[i] > '9') return std::nullopt;
    step = step * 10 + (name[i] - '0');
  }
  return step_name(step) == name ? std::optional<int64_t>(step) : std::nullopt;
}

void require_same_hash(const std::string& place, const std::string& what, const std::string& expected,
                       const std::string& found) {
  if (expected == found) return;
  const auto show = [](const std::string& h) { return h.empty() ? std::string("none") : h; };
  throw checkpoint_error(place, "was made with another " + what + " (" + show(found) + "), this run has " + show(expected));
}

namespace {

// Puts the finished temporary under its final name. An older checkpoint of the same step is exchanged with it, so that
// there is never a moment without one.
void publish(int parent_fd, const std::string& temporary, const std::string& name, const std::string& place) {
  if (::renameat2(parent_fd, temporary.c_str(), parent_fd, name.c_str(), RENAME_NOREPLACE) == 0) return;
  if (errno == EEXIST) {
    if (::renameat2(parent_fd, temporary.c_str(), parent_fd, name.c_str(), RENAME_EXCHANGE) == 0) return;
  }
  if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP) io::throw_errno(errno, place, "rename into place");
  // File systems without these flags: safe enough under the run lock; older steps remain meanwhile.
  struct stat s{};
  if (::fstatat(parent_fd, name.c_str(), &s, AT_SYMLINK_NOFOLLOW) == 0) {
    const std::string trash = io::temporary_name(".trash-");
    if (::renameat(parent_fd, name.c_str(), parent_fd, trash.c_str()) != 0)
      io::throw_errno(errno, place, "move the older checkpoint away");
  }
  if (::renameat(parent_fd, temporary.c_str(), parent_fd, name.c_str()) != 0)
    io::throw_errno(errno, place, "rename into place");
}

void remove_tree(const fs::path& path) {
  std::error_code ec;
  fs::remove_all(path, ec);  // a leftover is removed by the next clean()
}

void remove_leftovers(const fs::path& dir) {
  std::error_code ec;
  std::vector<fs::path> victims;
  for (const auto& e : fs::directory_iterator(dir, ec)) {
    const std::string name = e.path().filename().string();
    if (starts_with(name, ".tmp-") || starts_with(name, ".trash-") || name.find(".tmp-") != std::string::npos)
      victims.push_back(e.path());
  }
  for (const auto& v : victims) remove_tree(v);
}

}  // namespace

CheckpointStore::CheckpointStore(fs::path ckpt_dir, int keep) : dir_(std::move(ckpt_dir)), keep_(std::max(1, keep)) {}

fs::path CheckpointStore::step_path(const std::string& stage, int64_t step) const { return dir_ / stage / step_name(step); }

std::vector<int64_t> CheckpointStore::steps(const std::string& stage) const {
  std::vector<int64_t> out;
  std::error_code ec;
  for (const auto& e : fs::directory_iterator(dir_ / stage, ec)) {
    const auto step = parse_step_name(e.path().filename().string());
    if (step && e.symlink_status(ec).type() == fs::file_type::directory) out.push_back(*step);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::optional<int64_t> CheckpointStore::named_step(const std::string& stage, const char* file) const {
  try {
    std::string text = io::read_text(dir_ / stage / file, {.max_bytes = 64, .code = ExitCode::checkpoint, .follow = false});
    while (!text.empty() && text.back() == '\n') text.pop_back();
    const auto step = parse_step_name(text);
    if (step && fs::is_directory(step_path(stage, *step))) return step;
  } catch (const Error& e) {
    if (e.code() != ExitCode::checkpoint) throw;
  }
  return std::nullopt;
}

std::optional<int64_t> CheckpointStore::best_step(const std::string& stage) const { return named_step(stage, "best"); }
std::optional<int64_t> CheckpointStore::last_step(const std::string& stage) const { return named_step(stage, "last"); }

std::string CheckpointStore::manifest_hash(const std::string& stage, int64_t step) const {
  const auto text = io::read_text(step_path(stage, step) / "MANIFEST.json",
                                  {.max_bytes = detail::kMaxManifest, .code = ExitCode::checkpoint, .follow = false});
  return hash128_hex(text);
}

void CheckpointStore::commit_once(const CheckpointContent& content, const fs::path& parent,
                                  const std::string& final_name) const {
  io::make_directories(parent);
  const io::Fd parent_fd = io::open_directory(parent, false);
  const std::string place = (parent / final_name).string();
  const uint64_t need = detail::estimate_bytes(content);
  const uint64_t available = io::free_bytes(parent);
  if (available < need + need / 10) {
    throw io_error(place, "not enough disk space",
                   "needs " + format_bytes(static_cast<int64_t>(need)) + ", " +
                       format_bytes(static_cast<int64_t>(available)) + " free");
  }
  const std::string temporary = io::temporary_name(".tmp-" + final_name + "-");
  if (::mkdirat(parent_fd.get(), temporary.c_str(), 0755) != 0)
    io::throw_errno(errno, place, "create the checkpoint directory", need);
  try {
    const int raw = ::openat(parent_fd.get(), temporary.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (raw < 0) io::throw_errno(errno, place, "open the checkpoint directory");
    const io::Fd dir_fd(raw);
    detail::write_checkpoint(dir_fd.get(), place, content);
    publish(parent_fd.get(), temporary, final_name, place);
  } catch (...) {
    remove_tree(parent / temporary);
    throw;
  }
  io::sync_directory(parent_fd.get(), parent.string());
  // The checkpoint exists from here. After an exchange the temporary name holds the older one.
  remove_tree(parent / temporary);
}

void CheckpointStore::commit(const CheckpointContent& content, bool is_best) {
  assert(is_safe_name(content.stage) && content.step >= 0);
  const std::string name = step_name(content.step);
  if (const std::string bad = detail::find_non_finite(content); !bad.empty()) {
    const fs::path study = dir_.parent_path() / "diverged";
    std::string hint = "the state lies in " + (study / (content.stage + "-" + name)).string();
    try {
      commit_once(content, study, content.stage + "-" + name);
    } catch (const Error& e) {
      hint = std::string("its state could not be kept either: ") + e.what();
    }
    throw Error(ExitCode::diverged, step_path(content.stage, content.step).string(),
                "refused to save a non-finite value in " + bad, hint);
  }
  const fs::path stage_dir = dir_ / content.stage;
  try {
    commit_once(content, stage_dir, name);
  } catch (const Error& e) {
    if (e.code() != ExitCode::io || !fs::is_directory(stage_dir)) throw;
    log::warn(std::string(e.what()) + "; making room and trying once more");
    clean();
    rotate(content.stage, 1);
    commit_once(content, stage_dir, name);
  }
  io::JsonlWriter index(dir_ / "index.jsonl");
  io::JsonLine line;
  line.add("stage", content.stage)
      .add("step", content.step)
      .add("best", is_best)
      .add("manifest", manifest_hash(content.stage, content.step));
  index.append(line.add("created", utc_now()));
  index.sync();
  io::write_text_atomic(stage_dir / "last", name + "\n");
  if (is_best) io::write_text_atomic(stage_dir / "best", name + "\n");
  rotate(content.stage, keep_);
}

void CheckpointStore::rotate(const std::string& stage, int keep) const {
  std::vector<int64_t> candidates = steps(stage);
  if (candidates.size() <= static_cast<size_t>(keep)) return;
  candidates.resize(candidates.size() - static_cast<size_t>(keep));  // the newest stay
  std::set<int64_t> pinned;
  if (const auto best = best_step(stage)) pinned.insert(*best);
  // Steps that another stage was trained on.
  std::error_code ec;
  for (const auto& other : fs::directory_iterator(dir_, ec)) {
    const std::string name = other.path().filename().string();
    if (!other.is_directory() || name == stage) continue;
    for (const int64_t step : steps(name)) {
      try {
        const fs::path path = step_path(name, step) / "MANIFEST.json";
        const auto text =
            io::read_text(path, {.max_bytes = detail::kMaxManifest, .code = ExitCode::checkpoint, .follow = false});
        for (const auto& p : detail::Manifest::parse(text, path.string()).parents)
          if (p.stage == stage) pinned.insert(p.step);
      } catch (const Error&) {
        return;  // lineage unknown: delete nothing
      }
    }
  }
  for (const int64_t step : candidates) {
    if (pinned.count(step) > 0) continue;
    const fs::path trash = dir_ / stage / io::temporary_name(".trash-");
    fs::rename(step_path(stage, step), trash, ec);
    if (!ec) remove_tree(trash);
  }
}

void CheckpointStore::clean() const {
  std::error_code ec;
  remove_leftovers(dir_);
  remove_leftovers(dir_.parent_path() / "diverged");
  for (const auto& e : fs::directory_iterator(dir_, ec))
    if (e.symlink_status().type() == fs::file_type::directory) remove_leftovers(e.path());
}

CheckpointContent CheckpointStore::load(const fs::path& path) {
  CheckpointContent c = detail::read_checkpoint(path);
  const auto step = parse_step_name(path.filename().string());
  if (step && *step != c.step) throw checkpoint_error(path.string(), "holds " + step_name(c.step));
  return c;
}

std::optional<CheckpointContent> CheckpointStore::load_newest(const std::string& stage) {
  std::vector<int64_t> all = steps(stage);
  std::string last_error;
  const size_t count = all.size();
  while (!all.empty()) {
    const int64_t step = all.back();
    all.pop_back();
    const fs::path path = step_path(stage, step);
    try {
      CheckpointContent c = load(path);
      if (c.stage != stage) throw checkpoint_error(path.string(), "holds a checkpoint of another stage");
      return c;
    } catch (const Error& e) {
      // Only damage is passed over: an unreadable disk must not push good checkpoints aside.
      if (e.code() != ExitCode::checkpoint) throw;
      last_error = e.what();
    }
    const std::string next = all.empty() ? "no older one is left" : "trying " + step_name(all.back());
    log::warn("checkpoint " + step_name(step) + " of stage " + stage + " is damaged: " + last_error + "; " + next);
    std::error_code ec;
    fs::path aside = path.string() + ".corrupt";
    for (int k = 2; fs::exists(aside, ec) && k < 1000; ++k) aside = path.string() + ".corrupt-" + std::to_string(k);
    fs::rename(path, aside, ec);
  }
  if (count == 0) {
    // Starting over must be the user's decision once something was set aside.
    std::error_code ec;
    for (const auto& e : fs::directory_iterator(dir_ / stage, ec)) {
      if (e.path().filename().string().find(".corrupt") == std::string::npos) continue;
      throw checkpoint_error((dir_ / stage).string(),
                             "holds damaged checkpoints only (" + e.path().filename().string() + ")",
                             "start again with another --run-dir, or restore a copy");
    }
    return std::nullopt;
  }
  throw checkpoint_error((dir_ / stage).string(), "every checkpoint is damaged, the last: " + last_error,
                         "start again with another --run-dir, or restore a copy");
}

void CheckpointStore::verify_parents(const CheckpointContent& content) const {
  for (const auto& p : content.parents) {
    if (!is_safe_name(p.stage)) throw checkpoint_error(content.path.string(), "names an impossible parent stage");
    const std::string place = step_path(p.stage, p.step).string();
    const std::string found = manifest_hash(p.stage, p.step);
    if (found != p.manifest_hash) {
      throw checkpoint_error(place, "is not the checkpoint that stage " + content.stage + " was trained on (expected " +
                                        p.manifest_hash + ", found " + found + ")");
    }
  }
}

}  // namespace ups::train
