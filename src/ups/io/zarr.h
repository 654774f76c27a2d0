// Arrays and groups of Zarr version 2 (https://zarr-specs.readthedocs.io/en/latest/v2/v2.0.html) in a folder, read-only. No symbolic
// link is followed below the store, every size is checked before anything is allocated. Compressors: none, zlib, gzip.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ups/io/files.h"

namespace ups::io {

struct ZarrInfo {
  std::string path;                  // below the store: "a/fields/u"
  std::string dtype, compressor;     // "<f4"; "" = none
  std::vector<int64_t> shape, chunk;
  int64_t elements = 0;
};

// One array. Chunks that do not exist hold its fill value.
class ZarrArray {
 public:
  const ZarrInfo& info() const { return info_; }
  // As H5Dataset::read: start, stride, count have the array's rank. Thread-safe.
  void read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<float> out);
  std::vector<double> read_all(int64_t max_elements = int64_t{1} << 20);

 private:
  friend class ZarrStore;
  template <class Real>
  void read_any(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<Real> out);
  const std::vector<double>& load(const std::vector<int64_t>& chunk);  // the decoded chunk, kept until the next; holds mutex_
  ZarrInfo info_;
  std::string place_, separator_;
  double fill_ = 0;
  Fd dir_;
  std::mutex mutex_;
  std::vector<int64_t> loaded_;
  std::vector<double> values_;
};

class ZarrStore {
 public:
  // A folder with .zgroup; version 3 and others are exit 3 with advice.
  explicit ZarrStore(const std::string& path, int64_t max_array_bytes = int64_t{64} << 30);
  bool is_group(const std::string& path) const;   // "" is the store itself
  bool is_array(const std::string& path) const;
  std::vector<std::string> children(const std::string& group) const;  // groups and arrays, by name; at most 100,000
  std::unique_ptr<ZarrArray> array(const std::string& path) const;
  // Numbers and texts of .zattrs; the rest is left out.
  std::map<std::string, double> numbers(const std::string& path) const;
  std::map<std::string, std::string> texts(const std::string& path) const;

 private:
  Fd directory(const std::string& path) const;  // without following links; empty if there is none
  std::string path_, label_;
  int64_t max_bytes_;
};

}  // namespace ups::io
