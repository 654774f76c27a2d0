#include "ups/io/jsonl.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>

#include "ups/core/text.h"

namespace ups::io {
namespace {

// Length of the file up to and including its last newline.
uint64_t whole_lines(int fd, uint64_t size) {
  char block[4096];
  for (uint64_t end = size; end > 0;) {
    const uint64_t begin = end > sizeof block ? end - sizeof block : 0;
    const ssize_t n = ::pread(fd, block, end - begin, static_cast<off_t>(begin));
    if (n != static_cast<ssize_t>(end - begin)) return size;
    for (uint64_t i = end - begin; i > 0; --i)
      if (block[i - 1] == '\n') return begin + i;
    end = begin;
  }
  return 0;
}

void full_sync(int fd, const std::string& place) {
  int rc = 0;
  do rc = ::fsync(fd);
  while (rc != 0 && errno == EINTR);
  if (rc != 0) throw_errno(errno, place, "fsync");
}

}  // namespace

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char buffer[32];
  const auto r = std::to_chars(buffer, buffer + sizeof buffer, value);
  return std::string(buffer, r.ptr);
}

std::string json_string(std::string_view text) {
  std::string clean;
  if (!is_valid_utf8(text)) {
    clean = escape_text(text);
    text = clean;
  }
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      static constexpr char kDigits[] = "0123456789abcdef";
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[c & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

JsonLine& JsonLine::add(std::string_view key, double value) { return add_raw(key, json_number(value)); }
JsonLine& JsonLine::add(std::string_view key, std::string_view value) { return add_raw(key, json_string(value)); }

JsonLine& JsonLine::add_raw(std::string_view key, std::string_view json) {
  if (!body_.empty()) body_ += ',';
  body_ += json_string(key);
  body_ += ':';
  body_ += json;
  return *this;
}

JsonlWriter::JsonlWriter(const std::filesystem::path& path) : place_(path.string()) {
  const int fd = ::openat(AT_FDCWD, path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (fd < 0) throw_errno(errno, place_, "open the log");
  fd_ = Fd(fd);
  struct stat s{};
  if (::fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) throw io_error(place_, "is not a regular file");
  bytes_ = whole_lines(fd, static_cast<uint64_t>(s.st_size));
  if (bytes_ != static_cast<uint64_t>(s.st_size) && ::ftruncate(fd, static_cast<off_t>(bytes_)) != 0)
    throw_errno(errno, place_, "truncate");
}

void JsonlWriter::append(std::string_view object) {
  std::string line(object);
  line += '\n';
  size_t done = 0;
  while (done < line.size()) {
    const ssize_t n = ::write(fd_.get(), line.data() + done, line.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const int error = errno;
      // Leave whole lines behind, whatever happens next.
      if (::ftruncate(fd_.get(), static_cast<off_t>(bytes_)) != 0) throw_errno(errno, place_, "truncate");
      throw_errno(error, place_, "write", line.size());
    }
    done += static_cast<size_t>(n);
  }
  bytes_ += line.size();
}

void JsonlWriter::sync() { full_sync(fd_.get(), place_); }

void truncate_log(const std::filesystem::path& path, uint64_t length) {
  const Fd fd(::openat(AT_FDCWD, path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT && length == 0) return;
  if (!fd)
    throw checkpoint_error(path.string(), std::string("cannot open: ") + std::strerror(errno),
                           "the checkpoint counts on this log");
  struct stat s{};
  if (::fstat(fd.get(), &s) != 0) throw_errno(errno, path.string(), "read the file's size");
  if (static_cast<uint64_t>(s.st_size) < length) {
    throw checkpoint_error(
        path.string(), "is " + std::to_string(s.st_size) + " bytes long, the checkpoint recorded " + std::to_string(length),
        "the log was cut or replaced after the checkpoint");
  }
  if (::ftruncate(fd.get(), static_cast<off_t>(length)) != 0) throw_errno(errno, path.string(), "truncate");
  full_sync(fd.get(), path.string());
}

}  // namespace ups::io
