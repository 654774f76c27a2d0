#include "ups/io/hdf5_write.h"

#include <fcntl.h>
#include <hdf5.h>
#include <unistd.h>

#include <cassert>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <optional>
#include <utility>

#include "ups/core/error.h"

namespace ups::io {
namespace {

// An HDF5 identifier with the function that closes it.
class OwnedId {
 public:
  OwnedId(hid_t id, herr_t (*closer)(hid_t)) : id_(id), closer_(closer) {}
  OwnedId(OwnedId&& o) noexcept : id_(std::exchange(o.id_, -1)), closer_(o.closer_) {}
  OwnedId& operator=(OwnedId&&) = delete;
  ~OwnedId() {
    if (id_ >= 0) closer_(id_);
  }
  hid_t get() const { return id_; }
  bool ok() const { return id_ >= 0; }
  bool close() { return closer_(std::exchange(id_, -1)) >= 0; }

 private:
  hid_t id_;
  herr_t (*closer_)(hid_t);
};

hid_t file_type(H5Number type) {
  return type == H5Number::f32 ? H5T_IEEE_F32LE : type == H5Number::f64 ? H5T_IEEE_F64LE : H5T_STD_I64LE;
}

OwnedId flag_type() {
  OwnedId type{H5Tenum_create(H5T_STD_I8LE), H5Tclose};
  for (const int8_t value : {int8_t{0}, int8_t{1}}) H5Tenum_insert(type.get(), value != 0 ? "TRUE" : "FALSE", &value);
  return type;
}

OwnedId text_type() {
  OwnedId type{H5Tcopy(H5T_C_S1), H5Tclose};
  H5Tset_size(type.get(), H5T_VARIABLE);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  return type;
}

std::vector<int8_t> bytes_of(const std::vector<bool>& values) { return {values.begin(), values.end()}; }

OwnedId space_of(std::span<const int64_t> dims) {
  const std::vector<hsize_t> extent(dims.begin(), dims.end());
  return {H5Screate_simple(static_cast<int>(extent.size()), extent.data(), nullptr), H5Sclose};
}

}  // namespace

struct H5Writer::Impl {
  std::string path;
  OwnedId file{-1, H5Fclose};

  [[noreturn]] void fail(const std::string& object, const std::string& doing) const {
    throw io_error(path + (object.empty() ? "" : ":" + object), "cannot " + doing, "is the disk full or the folder read-only?");
  }
  OwnedId link_options() const {
    OwnedId options{H5Pcreate(H5P_LINK_CREATE), H5Pclose};
    H5Pset_create_intermediate_group(options.get(), 1);
    return options;
  }
  OwnedId open_dataset(const std::string& object) const {
    OwnedId set{H5Dopen2(file.get(), object.c_str(), H5P_DEFAULT), H5Dclose};
    if (!set.ok()) fail(object, "open the data set");
    return set;
  }
  void create(const std::string& object, const std::vector<int64_t>& dims, hid_t type, const std::vector<int64_t>& chunk) const {
    const OwnedId options{H5Pcreate(H5P_DATASET_CREATE), H5Pclose};
    H5Pset_obj_track_times(options.get(), false);
    H5Pset_fill_time(options.get(), H5D_FILL_TIME_NEVER);
    if (!chunk.empty()) {
      const std::vector<hsize_t> c(chunk.begin(), chunk.end());
      H5Pset_chunk(options.get(), static_cast<int>(c.size()), c.data());
    }
    const OwnedId space = space_of(dims);
    const OwnedId set{H5Dcreate2(file.get(), object.c_str(), type, space.get(), link_options().get(), options.get(), H5P_DEFAULT), H5Dclose};
    if (!set.ok()) fail(object, "create the data set");
  }
  void write(const std::string& object, hid_t type, const void* values, size_t count) const {
    const OwnedId set = open_dataset(object);
    const OwnedId space{H5Dget_space(set.get()), H5Sclose};
    assert(static_cast<size_t>(H5Sget_simple_extent_npoints(space.get())) == count);
    (void)count;
    if (H5Dwrite(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values) < 0) fail(object, "write");
  }
  // `length`: of a 1-D attribute; absent = a scalar.
  void attribute(const std::string& object, const std::string& name, hid_t stored, hid_t memory, const void* value,
                 std::optional<int64_t> length = std::nullopt) const {
    const OwnedId space = length ? space_of(std::vector<int64_t>{*length}) : OwnedId{H5Screate(H5S_SCALAR), H5Sclose};
    const OwnedId a{H5Acreate_by_name(file.get(), object.c_str(), name.c_str(), stored, space.get(), H5P_DEFAULT, H5P_DEFAULT,
                                     H5P_DEFAULT),
                   H5Aclose};
    if (!a.ok() || (length != 0 && H5Awrite(a.get(), memory, value) < 0)) fail(object + "@" + name, "write the attribute");
  }
};

H5Writer::H5Writer(const std::string& path) {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  const OwnedId options{H5Pcreate(H5P_FILE_CREATE), H5Pclose};
  H5Pset_obj_track_times(options.get(), false);
  OwnedId file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, options.get(), H5P_DEFAULT), H5Fclose};
  if (!file.ok()) {
    throw io_error(path, std::string("cannot create the file: ") + std::strerror(errno), "does the folder exist, may you write there?");
  }
  impl_.reset(new Impl{path, std::move(file)});
}

H5Writer::~H5Writer() = default;

void H5Writer::group(const std::string& path) {
  const OwnedId options{H5Pcreate(H5P_GROUP_CREATE), H5Pclose};
  H5Pset_obj_track_times(options.get(), false);
  const OwnedId g{H5Gcreate2(impl_->file.get(), path.c_str(), impl_->link_options().get(), options.get(), H5P_DEFAULT), H5Gclose};
  if (!g.ok()) impl_->fail(path, "create the group");
}

void H5Writer::dataset(const std::string& path, const std::vector<int64_t>& dims, H5Number type, const std::vector<int64_t>& chunk) {
  impl_->create(path, dims, file_type(type), chunk);
}

void H5Writer::write(const std::string& path, std::span<const float> v) { impl_->write(path, H5T_NATIVE_FLOAT, v.data(), v.size()); }
void H5Writer::write(const std::string& path, std::span<const double> v) { impl_->write(path, H5T_NATIVE_DOUBLE, v.data(), v.size()); }
void H5Writer::write(const std::string& path, std::span<const int64_t> v) { impl_->write(path, H5T_NATIVE_INT64, v.data(), v.size()); }

void H5Writer::write_rows(const std::string& path, int64_t first, std::span<const float> values) {
  const OwnedId set = impl_->open_dataset(path);
  const OwnedId space{H5Dget_space(set.get()), H5Sclose};
  std::vector<hsize_t> dims(static_cast<size_t>(H5Sget_simple_extent_ndims(space.get())));
  H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
  hsize_t row = 1;
  for (size_t i = 1; i < dims.size(); ++i) row *= dims[i];
  assert(values.size() % row == 0);
  std::vector<int64_t> start(dims.size(), 0), count(dims.begin(), dims.end());
  start[0] = first;
  count[0] = static_cast<int64_t>(values.size() / row);
  write_block(path, start, count, values);
}

void H5Writer::write_block(const std::string& path, const std::vector<int64_t>& start, const std::vector<int64_t>& count,
                           std::span<const float> values) {
  const OwnedId set = impl_->open_dataset(path);
  const OwnedId space{H5Dget_space(set.get()), H5Sclose};
  assert(static_cast<size_t>(H5Sget_simple_extent_ndims(space.get())) == start.size() && start.size() == count.size());
  const std::vector<hsize_t> from(start.begin(), start.end()), extent(count.begin(), count.end());
  const OwnedId memory = space_of(count);
  assert(static_cast<size_t>(H5Sget_simple_extent_npoints(memory.get())) == values.size());
  if (H5Sselect_hyperslab(space.get(), H5S_SELECT_SET, from.data(), nullptr, extent.data(), nullptr) < 0 ||
      H5Dwrite(set.get(), H5T_NATIVE_FLOAT, memory.get(), space.get(), H5P_DEFAULT, values.data()) < 0) {
    impl_->fail(path, "write rows");
  }
}

void H5Writer::attribute(const std::string& object, const std::string& name, double value) {
  impl_->attribute(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, &value);
}

void H5Writer::attribute(const std::string& object, const std::string& name, int64_t value) {
  impl_->attribute(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, &value);
}

void H5Writer::attribute(const std::string& object, const std::string& name, const std::string& value) {
  const OwnedId type{H5Tcopy(H5T_C_S1), H5Tclose};
  H5Tset_size(type.get(), value.size() + 1);
  H5Tset_strpad(type.get(), H5T_STR_NULLTERM);
  H5Tset_cset(type.get(), H5T_CSET_UTF8);
  impl_->attribute(object, name, type.get(), type.get(), value.c_str());
}

void H5Writer::text(const std::string& object, const std::string& name, const std::string& value) {
  const OwnedId type = text_type();
  const char* pointer = value.c_str();
  impl_->attribute(object, name, type.get(), type.get(), &pointer);
}

void H5Writer::texts(const std::string& object, const std::string& name, const std::vector<std::string>& values) {
  const OwnedId type = text_type();
  std::vector<const char*> pointers;
  for (const std::string& v : values) pointers.push_back(v.c_str());
  impl_->attribute(object, name, type.get(), type.get(), pointers.data(), static_cast<int64_t>(values.size()));
}

void H5Writer::flag(const std::string& object, const std::string& name, bool value) {
  const OwnedId type = flag_type();
  const int8_t byte = value ? 1 : 0;
  impl_->attribute(object, name, type.get(), type.get(), &byte);
}

void H5Writer::flags(const std::string& object, const std::string& name, const std::vector<bool>& values) {
  const OwnedId type = flag_type();
  impl_->attribute(object, name, type.get(), type.get(), bytes_of(values).data(), static_cast<int64_t>(values.size()));
}

void H5Writer::flag_dataset(const std::string& path, const std::vector<bool>& values) {
  const OwnedId type = flag_type();
  impl_->create(path, std::vector<int64_t>{static_cast<int64_t>(values.size())}, type.get(), {});
  impl_->write(path, type.get(), bytes_of(values).data(), values.size());
}

void H5Writer::close() {
  if (H5Fflush(impl_->file.get(), H5F_SCOPE_GLOBAL) < 0 || !impl_->file.close()) impl_->fail("", "finish the file");
  const int fd = ::open(impl_->path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = fd >= 0 && ::fsync(fd) == 0;
  if (fd >= 0) ::close(fd);
  if (!synced) impl_->fail("", "write the file to disk");
}

void H5Writer::close_as(const std::string& path) {
  close();
  if (std::rename(impl_->path.c_str(), path.c_str()) != 0) throw io_error(path, std::string("cannot rename into place: ") + std::strerror(errno));
  const auto folder = std::filesystem::absolute(path).parent_path();
  const int fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // not every file system lets a folder be opened; the data itself is synced
  ::fsync(fd);
  ::close(fd);
}

}  // namespace ups::io
