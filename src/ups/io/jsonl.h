// JSON lines: append-only logs whose every line is one object of finite numbers, null, booleans and texts.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <type_traits>

#include "ups/io/files.h"

namespace ups::io {

// One object under construction; keys keep their order. Numbers that are not finite become null.
class JsonLine {
 public:
  template <class T>
    requires std::is_integral_v<T>
  JsonLine& add(std::string_view key, T value) {
    if constexpr (std::is_same_v<T, bool>) return add_raw(key, value ? "true" : "false");
    else return add_raw(key, std::to_string(value));
  }
  JsonLine& add(std::string_view key, double value);
  JsonLine& add(std::string_view key, std::string_view value);
  JsonLine& add(std::string_view key, const char* value) { return add(key, std::string_view(value)); }
  JsonLine& add(std::string_view key, const std::string& value) { return add(key, std::string_view(value)); }
  JsonLine& add_null(std::string_view key) { return add_raw(key, "null"); }
  JsonLine& add_raw(std::string_view key, std::string_view json);  // json: a complete JSON value
  std::string text() const { return "{" + body_ + "}"; }           // without newline

 private:
  std::string body_;
};

std::string json_number(double value);              // shortest text that reads back equal; "null" if not finite
std::string json_string(std::string_view text);     // quoted and escaped; invalid UTF-8 becomes \xNN text

// Appends whole lines by one write call each. Not thread-safe.
class JsonlWriter {
 public:
  // Creates or continues path; an unfinished last line (the process died while writing) is cut off. Errors: exit 7.
  explicit JsonlWriter(const std::filesystem::path& path);
  void append(const JsonLine& line) { append(line.text()); }
  void append(std::string_view object);
  void sync();
  uint64_t bytes() const { return bytes_; }  // length of the file, whole lines only

 private:
  Fd fd_;
  std::string place_;
  uint64_t bytes_ = 0;
};

// Cuts a log back to the length that a checkpoint recorded, durably. A shorter or missing file is exit 4.
void truncate_log(const std::filesystem::path& path, uint64_t length);

}  // namespace ups::io
