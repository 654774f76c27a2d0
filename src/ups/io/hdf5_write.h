// A small HDF5 writer. Files are reproducible byte for byte: no time stamps, no dependence on anything but the calls.
// Not thread-safe: all HDF5 calls of a process belong on one thread.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ups::io {

enum class H5Number { f32, f64, i64 };

// Errors of the library or the disk: Error with exit 7 naming the file and the object.
class H5Writer {
 public:
  explicit H5Writer(const std::string& path);  // creates or truncates
  ~H5Writer();                                 // closes without complaint
  H5Writer(const H5Writer&) = delete;
  H5Writer& operator=(const H5Writer&) = delete;

  void group(const std::string& path);  // "/0003/grid"; parents are made as well
  // chunk empty: contiguous. Parents are made as well.
  void dataset(const std::string& path, const std::vector<int64_t>& dims, H5Number type, const std::vector<int64_t>& chunk = {});
  // The whole data set, which must exist; values are converted to its type.
  void write(const std::string& path, std::span<const float> values);
  void write(const std::string& path, std::span<const double> values);
  void write(const std::string& path, std::span<const int64_t> values);
  // Rows [first, first + values/row size) along the first axis.
  void write_rows(const std::string& path, int64_t first, std::span<const float> values);
  // The block of extents `count` at `start`; both have the data set's rank.
  void write_block(const std::string& path, const std::vector<int64_t>& start, const std::vector<int64_t>& count, std::span<const float> values);
  // Scalar attributes; object "/" is the root. Texts are fixed-length UTF-8.
  void attribute(const std::string& object, const std::string& name, double value);
  void attribute(const std::string& object, const std::string& name, int64_t value);
  void attribute(const std::string& object, const std::string& name, const std::string& value);
  // As h5py writes str, lists of str and bools, and reads them back: variable-length UTF-8, the enumeration FALSE, TRUE.
  void text(const std::string& object, const std::string& name, const std::string& value);
  void texts(const std::string& object, const std::string& name, const std::vector<std::string>& values);
  void flag(const std::string& object, const std::string& name, bool value);
  void flags(const std::string& object, const std::string& name, const std::vector<bool>& values);
  void flag_dataset(const std::string& path, const std::vector<bool>& values);  // 1-D
  // Writes everything out, closes and fsyncs. Throws if any of it failed.
  void close();
  // close(), then renames the file to `path`, replacing what is there, and syncs the folder.
  void close_as(const std::string& path);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ups::io
