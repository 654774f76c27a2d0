// Builds HDF5 files for tests, good and hostile, with the plain C API: independent of the code under test.
#pragma once
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace ups::test {

// A folder of its own below the temporary directory, removed at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

enum class H5Type { f16, f32, f64, f32_be, i32, i64_be, u8 };

struct H5Store {
  H5Type type = H5Type::f32;
  std::vector<int64_t> chunk;      // empty = contiguous
  bool deflate = false, shuffle = false, fletcher32 = false, lzf = false;
  int unknown_filter = 0;          // registered only while writing
};

class MakeH5 {
 public:
  explicit MakeH5(const std::string& path);
  ~MakeH5();
  MakeH5(const MakeH5&) = delete;
  MakeH5& operator=(const MakeH5&) = delete;
  int64_t id() const { return file_; }
  void group(const std::string& path);
  void dataset(const std::string& path, const std::vector<int64_t>& dims, const std::vector<float>& values, const H5Store& how = H5Store());
  // Values by flat index.
  void dataset(const std::string& path, const std::vector<int64_t>& dims, const std::function<float(int64_t)>& value,
               const H5Store& how = H5Store());
  void empty_dataset(const std::string& path, const std::vector<int64_t>& dims, const std::vector<int64_t>& chunk);  // nothing stored
  void external_storage(const std::string& path, const std::vector<int64_t>& dims, const std::string& outside);
  void virtual_dataset(const std::string& path, const std::vector<int64_t>& dims, const std::string& outside, const std::string& source);
  void vlen_dataset(const std::string& path, int64_t n);
  void string_dataset(const std::string& path, int64_t n);
  void compound_dataset(const std::string& path, int64_t n);
  void scalar_dataset(const std::string& path);
  void soft_link(const std::string& path, const std::string& target);
  void external_link(const std::string& path, const std::string& file, const std::string& target);
  void hard_link(const std::string& path, const std::string& target);
  void number(const std::string& object, const std::string& name, double value);
  void numbers(const std::string& object, const std::string& name, const std::vector<double>& values);
  void integer(const std::string& object, const std::string& name, int64_t value);
  void text(const std::string& object, const std::string& name, const std::string& value, bool variable_length);
  void close();

 private:
  int64_t file_ = -1;
};

// n cell centres of (0, 1), or n + 1 times 0, dt, ..: what PDEBench files carry.
std::vector<float> cell_centres(int64_t n, double lo = 0, double hi = 1);
std::vector<float> times(int64_t n, double dt);

// Exactly representable value of (trajectory, time, channel, i, j), different everywhere.
inline float value_of(int64_t n, int64_t t, int64_t c, int64_t i, int64_t j = 0) {
  return static_cast<float>(n) * 1024.0f + static_cast<float>(t) * 32.0f + static_cast<float>(c) * 8.0f + static_cast<float>(i) * 0.25f +
         static_cast<float>(j) * 0.015625f;
}

// A 1-D Burgers file in PDEBench's layout with value_of.
void make_burgers(const std::string& path, int64_t n, int64_t frames, int64_t cells, double nu = 0.01, const H5Store& how = H5Store());

}  // namespace ups::test
