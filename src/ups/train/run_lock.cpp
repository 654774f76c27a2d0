#include "ups/train/run_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/io/jsonl.h"
#include "ups/train/run_dir.h"

namespace ups::train {
namespace {

std::string host_name() {
  char host[256] = "";
  ::gethostname(host, sizeof host - 1);
  return host;
}

std::string boot_id() {
  try {
    // The kernel reports size 0 for /proc files, so read_text would return nothing.
    const io::Fd fd(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
    char text[37] = "";
    if (fd && ::read(fd.get(), text, 36) == 36) return text;
  } catch (const std::exception&) {
  }
  return {};
}

// "host:pid since TIME" of the holder, empty if the file does not say or its process is gone (then a reader holds the
// lock).
std::string holder(int fd) {
  for (int attempt = 0; attempt < 20; ++attempt) {
    char text[2048];
    const ssize_t n = ::pread(fd, text, sizeof text, 0);
    const auto j = nlohmann::json::parse(text, text + std::max<ssize_t>(n, 0), nullptr, false);
    if (j.is_object() && j.contains("pid") && j["pid"].is_number_integer() && j.contains("host") && j["host"].is_string()) {
      const auto pid = j["pid"].get<int64_t>();
      const auto host = j["host"].get<std::string>();
      const bool gone = host == host_name() && ::kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH;
      if (!gone)
        return host + ":" + std::to_string(pid) + " since " +
               (j.contains("start") && j["start"].is_string() ? j["start"].get<std::string>() : "?");
    }
    // The winner may hold the lock but not have written yet.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return {};
}

int lock_within(int fd, int kind, std::chrono::milliseconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (true) {
    const int rc = ::flock(fd, kind | LOCK_NB);
    if (rc == 0 || (errno != EINTR && errno != EWOULDBLOCK)) return rc;
    if (errno == EWOULDBLOCK && std::chrono::steady_clock::now() >= end) return rc;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& run_dir, Mode mode, const std::string& command, std::chrono::milliseconds patience) {
  const auto path = run_dir / ".lock";
  const bool exclusive = mode == Mode::exclusive;
  int raw = ::open(path.c_str(), (exclusive ? O_RDWR : O_RDONLY) | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (raw < 0 && !exclusive && (errno == EROFS || errno == EACCES)) return;  // nobody can be writing there through us
  if (raw < 0) io::throw_errno(errno, path.string(), "open the lock file");
  fd_ = io::Fd(raw);
  const int rc = lock_within(raw, exclusive ? LOCK_EX : LOCK_SH, patience);
  if (rc != 0 && errno == EWOULDBLOCK) {
    const std::string who = holder(raw);
    throw Error(ExitCode::busy, "",
                "run directory " + run_dir.string() + " is in use by " + (who.empty() ? "another process" : who),
                "wait for it, or use another --run-dir");
  }
  if (rc != 0 && (errno == ENOLCK || errno == EOPNOTSUPP || errno == ENOSYS)) {
    log::notice_once("this file system cannot lock " + path.string() +
                     ": nothing stops a second run in the same directory");
    return;
  }
  if (rc != 0) io::throw_errno(errno, path.string(), "lock");
  if (!exclusive) return;
  io::JsonLine line;
  line.add("host", host_name()).add("pid", static_cast<int64_t>(::getpid())).add("boot_id", boot_id());
  const std::string text = line.add("start", utc_now()).add("command", clip_text(command, 1000)).text() + "\n";
  // Informative only, so no error is raised (a full disk must not stop a resume that would free space).
  if (::ftruncate(raw, 0) != 0 || ::pwrite(raw, text.data(), text.size(), 0) < 0)
    log::debug("cannot write " + path.string());
}

}  // namespace ups::train
