#include "ups/io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>

#include "ups/core/rng.h"
#include "ups/core/text.h"

namespace ups::io {

Fd& Fd::operator=(Fd&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = other.release();
  }
  return *this;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

int Fd::release() {
  const int fd = fd_;
  fd_ = -1;
  return fd;
}

void throw_errno(int error, const std::string& place, const std::string& doing, uint64_t bytes_needed) {
  std::string hint;
  if (bytes_needed > 0) {
    const uint64_t available = free_bytes(std::filesystem::path(place).parent_path());
    hint = "needs " + format_bytes(static_cast<int64_t>(bytes_needed));
    if (available != UINT64_MAX) hint += ", " + format_bytes(static_cast<int64_t>(available)) + " free";
  }
  throw io_error(place, "cannot " + doing + ": " + std::strerror(error), hint);
}

Fd open_directory(const std::filesystem::path& dir, bool follow) {
  const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
  Fd fd(::openat(AT_FDCWD, dir.c_str(), flags));
  if (!fd) throw_errno(errno, dir.string(), "open the directory");
  return fd;
}

void sync_directory(int dir_fd, const std::string& place) {
  int rc = 0;
  do rc = ::fsync(dir_fd);
  while (rc != 0 && errno == EINTR);
  // EINVAL: the file system has no fsync for directories (some network mounts); nothing more can be done there.
  if (rc != 0 && errno != EINVAL) throw_errno(errno, place, "fsync the directory");
}

void make_directories(const std::filesystem::path& dir) {
  std::error_code ec;
  std::filesystem::create_directories(dir, ec);
  if (ec) throw_errno(ec.value(), dir.string(), "create the directory");
}

uint64_t free_bytes(const std::filesystem::path& dir) {
  struct statvfs s{};
  if (::statvfs(dir.empty() ? "." : dir.c_str(), &s) != 0) return UINT64_MAX;
  return static_cast<uint64_t>(s.f_bavail) * s.f_frsize;
}

OutputFile::OutputFile(int dir_fd, const std::string& name, std::string place, uint64_t expected_bytes)
    : place_(std::move(place)), expected_(expected_bytes) {
  int fd = -1;
  do fd = ::openat(dir_fd, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) throw_errno(errno, place_, "create the file", expected_);
  fd_ = Fd(fd);
}

void OutputFile::write(const void* data, size_t bytes) {
  const char* p = static_cast<const char*>(data);
  hash_.update(data, bytes);
  size_t left = bytes;
  while (left > 0) {
    // Linux moves at most 0x7ffff000 bytes per call.
    const ssize_t n = ::write(fd_.get(), p, std::min<size_t>(left, size_t{1} << 30));
    if (n < 0) {
      if (errno == EINTR) continue;
      throw_errno(errno, place_, "write", std::max<uint64_t>(expected_, bytes_ + left));
    }
    p += n;
    left -= static_cast<size_t>(n);
    bytes_ += static_cast<uint64_t>(n);
  }
}

void OutputFile::sync() {
  int rc = 0;
  do rc = ::fsync(fd_.get());
  while (rc != 0 && errno == EINTR);
  if (rc != 0) throw SyncError(ExitCode::io, place_, std::string("cannot fsync: ") + std::strerror(errno), {});
}

void OutputFile::close() {
  // Linux closes the descriptor even when it reports EINTR; every other error means that data may be lost (NFS, quota).
  if (::close(fd_.release()) != 0 && errno != EINTR)
    throw SyncError(ExitCode::io, place_, std::string("cannot close: ") + std::strerror(errno), {});
}

std::string temporary_name(const std::string& prefix) {
  static std::atomic<uint64_t> counter{0};
  const auto now = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  char text[64];
  std::snprintf(text, sizeof text, "tmp-%d-%08x", static_cast<int>(::getpid()),
                static_cast<unsigned>(mix_seed(now, counter.fetch_add(1)) & 0xffffffffu));
  return prefix + text;
}

void write_atomic(const std::filesystem::path& path, const std::function<void(OutputFile&)>& fill,
                  uint64_t expected_bytes) {
  const auto parent = path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
  const Fd dir = open_directory(parent);
  const std::string name = path.filename().string();
  for (int attempt = 0;; ++attempt) {
    const std::string temporary = temporary_name("." + name + ".");
    try {
      OutputFile file(dir.get(), temporary, path.string(), expected_bytes);
      fill(file);
      file.sync();
      file.close();
      if (::renameat(dir.get(), temporary.c_str(), dir.get(), name.c_str()) != 0)
        throw_errno(errno, path.string(), "rename into place");
      sync_directory(dir.get(), parent.string());
      return;
    } catch (const SyncError&) {
      ::unlinkat(dir.get(), temporary.c_str(), 0);
      if (attempt > 0) throw;
    } catch (...) {
      ::unlinkat(dir.get(), temporary.c_str(), 0);
      throw;
    }
  }
}

void write_text_atomic(const std::filesystem::path& path, std::string_view text) {
  write_atomic(path, [&](OutputFile& f) { f.write(text); }, text.size());
}

Bytes read_file_at(int dir_fd, const std::string& name, const std::string& place, const ReadOptions& options) {
  // O_NONBLOCK: opening a FIFO that a stranger left here must not hang.
  const int flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (options.follow ? 0 : O_NOFOLLOW);
  int raw = -1;
  do raw = ::openat(dir_fd, name.c_str(), flags);
  while (raw < 0 && errno == EINTR);
  if (raw < 0) {
    // The file's absence is the caller's matter (which exit code); a descriptor limit or a sick disk is not.
    const bool absent = errno == ENOENT || errno == ELOOP || errno == ENOTDIR || errno == ENXIO || errno == ENAMETOOLONG;
    throw Error(absent ? options.code : ExitCode::io, place, std::string("cannot open: ") + std::strerror(errno));
  }
  const Fd fd(raw);
  struct stat s{};
  if (::fstat(fd.get(), &s) != 0) throw_errno(errno, place, "read the file's size");
  if (!S_ISREG(s.st_mode)) throw Error(options.code, place, "is not a regular file");
  const auto size = static_cast<uint64_t>(s.st_size);
  if (size > options.max_bytes) {
    throw Error(options.code, place,
                "is " + std::to_string(size) + " bytes long, at most " + std::to_string(options.max_bytes) + " are read");
  }
  Bytes out{std::make_unique_for_overwrite<char[]>(size), static_cast<size_t>(size)};
  size_t done = 0;
  while (done < out.size) {
    const ssize_t n = ::read(fd.get(), out.data.get() + done, std::min<size_t>(out.size - done, size_t{1} << 30));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno(errno, place, "read");
    if (n == 0) break;  // truncated meanwhile: the caller sees the shorter size
    done += static_cast<size_t>(n);
  }
  out.size = done;
  return out;
}

Bytes read_file(const std::filesystem::path& path, const ReadOptions& options) {
  return read_file_at(AT_FDCWD, path.string(), path.string(), options);
}

Bytes read_file(const std::filesystem::path& path) { return read_file(path, ReadOptions()); }

std::string read_text(const std::filesystem::path& path, const ReadOptions& options) {
  return std::string(read_file(path, options).text());
}

}  // namespace ups::io
