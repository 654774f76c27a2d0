// Hyperslab reads of io/hdf5.h.
#define H5_USE_110_API 1
#include <fmt/format.h>
#include <hdf5.h>

#include "ups/core/error.h"
#include "ups/io/hdf5.h"
#include "ups/io/hdf5_check.h"

namespace ups::io {
namespace {

using Lock = std::lock_guard<std::recursive_mutex>;

}  // namespace

H5Dataset::~H5Dataset() {
  const Lock lock(hdf5_lock());
  if (id_ >= 0) H5Dclose(id_);
}

void H5Dataset::read_raw(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count,
    void* out,
                         bool f64, size_t out_size) {
  const std::string place = file_name_ + ":" + info_.path;
  const size_t rank = info_.shape.size();
  if (start.size() != rank || stride.size() != rank || count.size() != rank)
    throw data_error(place, "internal: hyperslab of another rank");
  hsize_t s[8], st[8], c[8];
  size_t total = 1;
  for (size_t i = 0; i < rank; ++i) {
    if (count[i] == 0) return;
    if (start[i] < 0 || stride[i] < 1 || count[i] < 0 || start[i] + (count[i] - 1) * stride[i] >= info_.shape[i]) {
      throw data_error(place, fmt::format("expected an extent above {} on axis {}, found {}",
          start[i] + (count[i] - 1) * stride[i], i,
                                          info_.shape[i]));
    }
    s[i] = static_cast<hsize_t>(start[i]);
    st[i] = static_cast<hsize_t>(stride[i]);
    c[i] = static_cast<hsize_t>(count[i]);
    total *= static_cast<size_t>(count[i]);
  }
  if (total != out_size) throw data_error(place, "internal: hyperslab and buffer differ in size");
  const Lock lock(hdf5_lock());
  const hid_t file_space = H5Dget_space(id_);
  H5Sselect_hyperslab(file_space, H5S_SELECT_SET, s, st, c, nullptr);
  const hsize_t flat = total;
  const hid_t memory_space = H5Screate_simple(1, &flat, nullptr);
  const herr_t rc = H5Dread(id_, f64 ? H5T_NATIVE_DOUBLE : H5T_NATIVE_FLOAT, memory_space, file_space, H5P_DEFAULT, out);
  const std::string reason = rc < 0 ? hdf5_reason() : "";
  H5Sclose(memory_space);
  H5Sclose(file_space);
  if (rc < 0) throw data_error(place, "cannot read: expected intact data, found " + reason,
      "the file is damaged; fetch it again");
}

void H5Dataset::read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count,
                     std::span<float> out) {
  read_raw(start, stride, count, out.data(), false, out.size());
}

void H5Dataset::read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count,
                     std::span<double> out) {
  read_raw(start, stride, count, out.data(), true, out.size());
}

std::vector<double> H5Dataset::read_all(int64_t max_elements) {
  if (info_.elements > max_elements) {
    throw data_error(file_name_ + ":" + info_.path, fmt::format("expected at most {} values, found {}", max_elements,
        info_.elements));
  }
  std::vector<double> out(static_cast<size_t>(info_.elements));
  const std::vector<int64_t> zero(info_.shape.size(), 0), one(info_.shape.size(), 1);
  if (!out.empty()) read(zero, one, info_.shape, out);
  return out;
}

}  // namespace ups::io
