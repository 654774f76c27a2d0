// Durable file writing and bounded reading. Everything that the trainer leaves on disk goes through here.
//
// Protocol of write_atomic: temporary name in the same directory, write, fsync, close, rename, fsync of the directory. After a
// failed fsync the kernel may have dropped the dirty pages, so the temporary is thrown away and written once more under a new name.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "ups/core/error.h"
#include "ups/core/hash.h"

namespace ups::io {

// An owned file descriptor.
class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();
  int get() const { return fd_; }
  int release();
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

// Throws Error (exit 7): "PLACE: cannot DOING: ERRNO TEXT; needs 3.0 MiB, 1.1 MiB free". bytes_needed 0 leaves the hint out.
[[noreturn]] void throw_errno(int error, const std::string& place, const std::string& doing, uint64_t bytes_needed = 0);

// Opens a directory for openat and fsync; a symlink as last component is refused (ELOOP) unless follow.
Fd open_directory(const std::filesystem::path& dir, bool follow = true);
void sync_directory(int dir_fd, const std::string& place);
// mkdir -p, mode 0755; exit 7 if it cannot be made.
void make_directories(const std::filesystem::path& dir);
// Bytes free for this user on the file system of dir; UINT64_MAX if unknown.
uint64_t free_bytes(const std::filesystem::path& dir);

// A new file, written once: loops over short writes, retries EINTR, hashes on the way. The destructor closes without removing.
class OutputFile {
 public:
  // Created exclusively (O_EXCL, O_NOFOLLOW, 0644) as `name` in dir_fd. place: for messages; expected_bytes: for ENOSPC hints.
  OutputFile(int dir_fd, const std::string& name, std::string place, uint64_t expected_bytes = 0);
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void sync();
  void close();
  uint64_t bytes() const { return bytes_; }
  std::string hash() const { return hash_.hex(); }  // XXH3-128 of what was written
  const std::string& place() const { return place_; }

 private:
  Fd fd_;
  std::string place_;
  uint64_t expected_, bytes_ = 0;
  Hash128 hash_;
};

// Thrown by OutputFile::sync so that callers can rewrite once.
class SyncError : public Error {
 public:
  using Error::Error;
};

// Replaces path by what `fill` writes; fill may be called twice. A symlink at path is replaced, never followed.
void write_atomic(const std::filesystem::path& path, const std::function<void(OutputFile&)>& fill, uint64_t expected_bytes = 0);
void write_text_atomic(const std::filesystem::path& path, std::string_view text);

// File contents without the cost of clearing the buffer first.
struct Bytes {
  std::unique_ptr<char[]> data;
  size_t size = 0;
  std::string_view text() const { return {data.get(), size}; }
  std::span<const char> span() const { return {data.get(), size}; }
};

struct ReadOptions {
  uint64_t max_bytes = uint64_t{64} << 30;
  ExitCode code = ExitCode::io;  // for missing, oversize and irregular files; other failures (permissions, disk) are exit 7
  bool follow = true;            // follow a symlink as last component
};
// Regular files only. dir_fd as in openat (AT_FDCWD = -100 for plain paths); place: the name in messages.
Bytes read_file_at(int dir_fd, const std::string& name, const std::string& place, const ReadOptions& options);
Bytes read_file(const std::filesystem::path& path);
Bytes read_file(const std::filesystem::path& path, const ReadOptions& options);
std::string read_text(const std::filesystem::path& path, const ReadOptions& options);

// ".NAME.tmp-PID-NONCE": unique within this machine's lifetime of the process.
std::string temporary_name(const std::string& prefix);

}  // namespace ups::io
