#include "ups/data/generators/part_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstring>

#include "ups/core/error.h"
#include "ups/core/hash.h"

namespace ups::data {
namespace {

constexpr const char* kMagic = "UPSPART1";
constexpr int64_t kHeader = 8 + 32;

bool transfer(int fd, char* data, size_t bytes, int64_t at, bool writing) {
  while (bytes > 0) {
    const ssize_t n = writing ? ::pwrite(fd, data, bytes, at) : ::pread(fd, data, bytes, at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    data += n;
    bytes -= static_cast<size_t>(n);
    at += n;
  }
  return true;
}

}  // namespace

PartFile::PartFile(std::string path, const std::string& key, int64_t floats_per_block, bool resume)
    : path_(std::move(path)), floats_(floats_per_block) {
  assert(key.size() == 32);
  fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd_ < 0) fail("create");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd_);
    throw Error(ExitCode::busy, path_, "another process is writing this file", "wait for it, or choose another -o");
  }
  struct stat info {};
  if (::fstat(fd_, &info) != 0) fail("examine");
  std::string header = kMagic + key, found(static_cast<size_t>(kHeader), '\0');
  if (resume && info.st_size >= kHeader) {
    if (!transfer(fd_, found.data(), found.size(), 0, false)) fail("read");
    if (found != header) {
      ::close(fd_);
      throw usage_error(path_, "was started with other settings", "repeat the same options, or leave out --resume to start anew");
    }
    while (offset(blocks_ + 1) <= info.st_size) {
      ++blocks_;
      try {
        read(blocks_ - 1);
      } catch (const Error&) {  // a block cut off or damaged by the interruption: continue before it
        --blocks_;
        break;
      }
    }
    if (::ftruncate(fd_, offset(blocks_)) != 0) fail("truncate");
  } else if (::ftruncate(fd_, 0) != 0 || !transfer(fd_, header.data(), header.size(), 0, true)) {
    fail("write");
  }
}

PartFile::~PartFile() {
  if (fd_ >= 0) ::close(fd_);
}

int64_t PartFile::offset(int64_t block) const { return kHeader + block * (floats_ * static_cast<int64_t>(sizeof(float)) + 8); }

void PartFile::fail(const std::string& doing) const {
  const std::string reason = errno != 0 ? std::strerror(errno) : "unexpected end";
  throw io_error(path_, "cannot " + doing + " the file: " + reason, "does the folder exist, is there space?");
}

void PartFile::append(std::span<const float> block) {
  assert(static_cast<int64_t>(block.size()) == floats_);
  std::vector<char> record(block.size_bytes() + 8);
  std::memcpy(record.data(), block.data(), block.size_bytes());
  const uint64_t check = hash64(block.data(), block.size_bytes(), static_cast<uint64_t>(blocks_));
  std::memcpy(record.data() + block.size_bytes(), &check, 8);
  errno = 0;
  if (!transfer(fd_, record.data(), record.size(), offset(blocks_), true)) fail("write");
  ++blocks_;
}

std::vector<float> PartFile::read(int64_t block) const {
  std::vector<float> values(static_cast<size_t>(floats_));
  uint64_t check = 0;
  const int64_t bytes = floats_ * static_cast<int64_t>(sizeof(float));
  errno = 0;
  if (!transfer(fd_, reinterpret_cast<char*>(values.data()), static_cast<size_t>(bytes), offset(block), false) ||
      !transfer(fd_, reinterpret_cast<char*>(&check), 8, offset(block) + bytes, false)) {
    fail("read");
  }
  if (check != hash64(values.data(), static_cast<size_t>(bytes), static_cast<uint64_t>(block))) {
    throw io_error(path_, "block " + std::to_string(block) + " is damaged", "start again without --resume");
  }
  return values;
}

void PartFile::remove() { ::unlink(path_.c_str()); }

}  // namespace ups::data
