// Read-only HDF5 under the safety rules of data.md 4: hard links only, no external storage, no virtual layouts, no plugins,
// every size checked before anything is allocated. All calls take one process-wide lock (Debian's HDF5 is not thread-safe).
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

namespace ups::io {

// Plugin loading off, LZF (32000) registered, HDF5's own error printing off. Cheap when repeated; called by H5File::open.
void hdf5_init();
// Hold it around any direct use of the HDF5 C API.
std::recursive_mutex& hdf5_lock();

struct H5Limits {
  int64_t max_dataset_bytes = int64_t{64} << 30;
  int64_t chunk_cache_bytes = int64_t{64} << 20;  // upper bound of one dataset's chunk cache
};

enum class H5Kind { group, dataset, other };

struct H5Link {
  std::string name;  // last component; full path in walk()
  H5Kind kind = H5Kind::other;
};

struct H5DatasetInfo {
  std::string path;
  std::string type;                  // "float32", "int16 big-endian", "bool"
  std::string layout;                // contiguous | compact | chunked
  std::vector<int64_t> shape, chunk;
  std::vector<std::string> filters;  // "deflate", "shuffle", "fletcher32", "lzf"
  int64_t elements = 0, logical_bytes = 0, stored_bytes = 0;
};

struct H5Attribute {
  std::string name;
  std::vector<double> numbers;      // numeric and boolean attributes
  std::vector<std::string> texts;   // string attributes, UTF-8
};

// One open dataset that passed every check. Closed by the destructor; keeps its file open.
class H5Dataset {
 public:
  ~H5Dataset();
  H5Dataset(const H5Dataset&) = delete;
  H5Dataset& operator=(const H5Dataset&) = delete;
  const H5DatasetInfo& info() const { return info_; }
  // Hyperslab; start, stride and count have the dataset's rank, out holds prod(count) values. Converted to the element type.
  void read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<float> out);
  void read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<double> out);
  // The whole of a small dataset (coordinates); more than max_elements is an error.
  std::vector<double> read_all(int64_t max_elements = int64_t{1} << 20);

 private:
  friend class H5File;
  H5Dataset() = default;
  void read_raw(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, void* out, bool f64,
                size_t out_size);
  std::shared_ptr<void> file_;  // keeps the file id alive
  std::string file_name_;
  H5DatasetInfo info_;
  int64_t id_ = -1;
};

class H5File {
 public:
  // Missing, not HDF5, truncated: exit 3; not readable: exit 7.
  static std::unique_ptr<H5File> open(const std::string& path, const H5Limits& limits = H5Limits());
  ~H5File();
  H5File(const H5File&) = delete;
  H5File& operator=(const H5File&) = delete;

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  // Members of a group by name. A soft, external or user-defined link among them is exit 3.
  std::vector<H5Link> children(const std::string& group) const;
  // True if every component exists as a hard link. Soft or external components throw.
  bool contains(const std::string& object) const;
  std::unique_ptr<H5Dataset> dataset(const std::string& object) const;
  // Attributes in name order; other classes than numbers and text are left out.
  std::vector<H5Attribute> attributes(const std::string& object) const;
  // Every object below the root, full paths: depth <= 4, <= 200,000 links, no cycles (exit 3 otherwise).
  std::vector<H5Link> walk() const;

 private:
  H5File() = default;
  std::string path_, label_;  // label: base name in messages
  int64_t bytes_ = 0;
  H5Limits limits_;
  std::shared_ptr<void> file_;
};

}  // namespace ups::io
