#include "make_h5.h"

#define H5_USE_110_API 1
#include <hdf5.h>
#include <unistd.h>

#include <atomic>
#include <cassert>
#include <cstdlib>
#include <stdexcept>

#include "ups/io/hdf5.h"

namespace ups::test {
namespace {

std::vector<hsize_t> extents(const std::vector<int64_t>& d) { return {d.begin(), d.end()}; }

void must(bool ok, const char* what) {
  if (!ok) throw std::runtime_error(std::string("make_h5: ") + what);
}

hid_t parents() {
  const hid_t lcpl = H5Pcreate(H5P_LINK_CREATE);
  H5Pset_create_intermediate_group(lcpl, 1);
  return lcpl;
}

hid_t file_type(H5Type t) {
  switch (t) {
    case H5Type::f32: return H5Tcopy(H5T_IEEE_F32LE);
    case H5Type::f64: return H5Tcopy(H5T_IEEE_F64LE);
    case H5Type::f32_be: return H5Tcopy(H5T_IEEE_F32BE);
    case H5Type::i32: return H5Tcopy(H5T_STD_I32LE);
    case H5Type::i64_be: return H5Tcopy(H5T_STD_I64BE);
    case H5Type::u8: return H5Tcopy(H5T_STD_U8LE);
    case H5Type::f16: {
      const hid_t h = H5Tcopy(H5T_IEEE_F32LE);
      H5Tset_fields(h, 15, 10, 5, 0, 10);
      H5Tset_size(h, 2);
      H5Tset_ebias(h, 15);
      return h;
    }
  }
  return -1;
}

size_t pass_through(unsigned, size_t, const unsigned*, size_t bytes, size_t*, void**) { return bytes; }

hid_t creation_list(const H5Store& how) {
  const hid_t p = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(p, 0);
  if (how.chunk.empty()) return p;
  const std::vector<hsize_t> chunk = extents(how.chunk);
  H5Pset_chunk(p, static_cast<int>(chunk.size()), chunk.data());
  if (how.shuffle) H5Pset_shuffle(p);
  if (how.lzf) H5Pset_filter(p, 32000, H5Z_FLAG_OPTIONAL, 0, nullptr);
  if (how.deflate) H5Pset_deflate(p, 1);
  if (how.fletcher32) H5Pset_fletcher32(p);
  if (how.unknown_filter) H5Pset_filter(p, how.unknown_filter, H5Z_FLAG_MANDATORY, 0, nullptr);
  return p;
}

void attribute(hid_t file, const std::string& object, const std::string& name, hid_t type, hid_t space, hid_t memory,
    const void* data) {
  const hid_t o = H5Oopen(file, object.c_str(), H5P_DEFAULT);
  const hid_t a = H5Acreate2(o, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT);
  must(a >= 0 && H5Awrite(a, memory, data) >= 0, "attribute");
  H5Aclose(a);
  H5Oclose(o);
}

}  // namespace

TempDir::TempDir() {
  static std::atomic<int> counter{0};
  path_ = std::filesystem::temp_directory_path() / ("ups-test-" + std::to_string(getpid()) + "-" + std::to_string(counter++));
  std::filesystem::create_directories(path_);
}

TempDir::~TempDir() {
  std::error_code ec;
  std::filesystem::remove_all(path_, ec);
}

MakeH5::MakeH5(const std::string& path) {
  io::hdf5_init();  // registers LZF, so that files can be written with it
  file_ = H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  must(file_ >= 0, "create");
}

MakeH5::~MakeH5() { close(); }

void MakeH5::close() {
  if (file_ >= 0) H5Fclose(file_);
  file_ = -1;
}

void MakeH5::group(const std::string& path) {
  const hid_t l = parents();
  const hid_t g = H5Gcreate2(file_, path.c_str(), l, H5P_DEFAULT, H5P_DEFAULT);
  must(g >= 0, "group");
  H5Gclose(g);
  H5Pclose(l);
}

void MakeH5::dataset(const std::string& path, const std::vector<int64_t>& dims, const std::vector<float>& values,
    const H5Store& how) {
  if (how.unknown_filter) {
    static H5Z_class2_t filter{};
    filter.version = H5Z_CLASS_T_VERS;
    filter.id = how.unknown_filter;
    filter.encoder_present = filter.decoder_present = 1;
    filter.name = "test";
    filter.filter = pass_through;
    H5Zregister(&filter);
  }
  const std::vector<hsize_t> d = extents(dims);
  const hid_t space = H5Screate_simple(static_cast<int>(d.size()), d.data(), nullptr), type = file_type(how.type),
      plist = creation_list(how),
              links = parents();
  const hid_t set = H5Dcreate2(file_, path.c_str(), type, space, links, plist, H5P_DEFAULT);
  must(set >= 0, "dataset");
  if (!values.empty()) must(H5Dwrite(set, H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()) >= 0, "write");
  H5Dclose(set);
  H5Pclose(links);
  H5Pclose(plist);
  H5Tclose(type);
  H5Sclose(space);
  if (how.unknown_filter) {
    H5Fflush(file_, H5F_SCOPE_GLOBAL);
    close();  // the filter may only go while no dataset uses it
    H5Zunregister(how.unknown_filter);
  }
}

void MakeH5::dataset(const std::string& path, const std::vector<int64_t>& dims, const std::function<float(int64_t)>& value,
                     const H5Store& how) {
  int64_t n = 1;
  for (int64_t d : dims) n *= d;
  std::vector<float> values(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) values[static_cast<size_t>(i)] = value(i);
  dataset(path, dims, values, how);
}

void MakeH5::empty_dataset(const std::string& path, const std::vector<int64_t>& dims, const std::vector<int64_t>& chunk) {
  H5Store how;
  how.chunk = chunk;
  dataset(path, dims, std::vector<float>(), how);
}

void MakeH5::external_storage(const std::string& path, const std::vector<int64_t>& dims, const std::string& outside) {
  const std::vector<hsize_t> d = extents(dims);
  hsize_t bytes = sizeof(float);
  for (hsize_t e : d) bytes *= e;
  const hid_t space = H5Screate_simple(static_cast<int>(d.size()), d.data(), nullptr), plist = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_external(plist, outside.c_str(), 0, bytes);
  const hid_t set = H5Dcreate2(file_, path.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  must(set >= 0, "external storage");
  H5Dclose(set);
  H5Pclose(plist);
  H5Sclose(space);
}

void MakeH5::virtual_dataset(const std::string& path, const std::vector<int64_t>& dims, const std::string& outside,
                             const std::string& source) {
  const std::vector<hsize_t> d = extents(dims);
  const hid_t space = H5Screate_simple(static_cast<int>(d.size()), d.data(), nullptr), plist = H5Pcreate(H5P_DATASET_CREATE);
  must(H5Pset_virtual(plist, space, outside.c_str(), source.c_str(), space) >= 0, "virtual");
  const hid_t set = H5Dcreate2(file_, path.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, plist, H5P_DEFAULT);
  must(set >= 0, "virtual dataset");
  H5Dclose(set);
  H5Pclose(plist);
  H5Sclose(space);
}

void MakeH5::vlen_dataset(const std::string& path, int64_t n) {
  const hsize_t d = static_cast<hsize_t>(n);
  const hid_t space = H5Screate_simple(1, &d, nullptr), type = H5Tvlen_create(H5T_IEEE_F32LE);
  const hid_t set = H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  must(set >= 0, "vlen");
  H5Dclose(set);
  H5Tclose(type);
  H5Sclose(space);
}

void MakeH5::string_dataset(const std::string& path, int64_t n) {
  const hsize_t d = static_cast<hsize_t>(n);
  const hid_t space = H5Screate_simple(1, &d, nullptr), type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, 8);
  const hid_t set = H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  must(set >= 0, "string");
  H5Dclose(set);
  H5Tclose(type);
  H5Sclose(space);
}

void MakeH5::compound_dataset(const std::string& path, int64_t n) {
  const hsize_t d = static_cast<hsize_t>(n);
  const hid_t space = H5Screate_simple(1, &d, nullptr), type = H5Tcreate(H5T_COMPOUND, 8);
  H5Tinsert(type, "re", 0, H5T_IEEE_F32LE);
  H5Tinsert(type, "im", 4, H5T_IEEE_F32LE);
  const hid_t set = H5Dcreate2(file_, path.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  must(set >= 0, "compound");
  H5Dclose(set);
  H5Tclose(type);
  H5Sclose(space);
}

void MakeH5::scalar_dataset(const std::string& path) {
  const hid_t space = H5Screate(H5S_SCALAR);
  const hid_t set = H5Dcreate2(file_, path.c_str(), H5T_IEEE_F32LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT);
  must(set >= 0, "scalar");
  H5Dclose(set);
  H5Sclose(space);
}

void MakeH5::soft_link(const std::string& path, const std::string& target) {
  must(H5Lcreate_soft(target.c_str(), file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT) >= 0, "soft link");
}

void MakeH5::external_link(const std::string& path, const std::string& file, const std::string& target) {
  must(H5Lcreate_external(file.c_str(), target.c_str(), file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT) >= 0, "external link");
}

void MakeH5::hard_link(const std::string& path, const std::string& target) {
  must(H5Lcreate_hard(file_, target.c_str(), file_, path.c_str(), H5P_DEFAULT, H5P_DEFAULT) >= 0, "hard link");
}

void MakeH5::number(const std::string& object, const std::string& name, double value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  attribute(file_, object, name, H5T_IEEE_F64LE, space, H5T_NATIVE_DOUBLE, &value);
  H5Sclose(space);
}

void MakeH5::numbers(const std::string& object, const std::string& name, const std::vector<double>& values) {
  const hsize_t n = values.size();
  const hid_t space = H5Screate_simple(1, &n, nullptr);
  attribute(file_, object, name, H5T_IEEE_F32LE, space, H5T_NATIVE_DOUBLE, values.data());
  H5Sclose(space);
}

void MakeH5::integer(const std::string& object, const std::string& name, int64_t value) {
  const hid_t space = H5Screate(H5S_SCALAR);
  attribute(file_, object, name, H5T_STD_I64LE, space, H5T_NATIVE_INT64, &value);
  H5Sclose(space);
}

void MakeH5::text(const std::string& object, const std::string& name, const std::string& value, bool variable_length) {
  const hid_t space = H5Screate(H5S_SCALAR), type = H5Tcopy(H5T_C_S1);
  H5Tset_size(type, variable_length ? H5T_VARIABLE : value.size() + 1);
  const char* p = value.c_str();
  attribute(file_, object, name, type, space, type, variable_length ? static_cast<const void*>(&p) : p);
  H5Tclose(type);
  H5Sclose(space);
}

std::vector<float> cell_centres(int64_t n, double lo, double hi) {
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i) x.push_back(static_cast<float>(lo + (hi - lo) * (static_cast<double>(i) + 0.5) / static_cast<double>(n)));
  return x;
}

std::vector<float> times(int64_t n, double dt) {
  std::vector<float> t;
  for (int64_t i = 0; i <= n; ++i) t.push_back(static_cast<float>(dt * static_cast<double>(i)));
  return t;
}

void make_burgers(const std::string& path, int64_t n, int64_t frames, int64_t cells, double nu, const H5Store& how) {
  MakeH5 f(path);
  f.dataset("/tensor", {n, frames, cells},
            [&](int64_t k) { return value_of(k / (frames * cells), k / cells % frames, 0, k % cells); }, how);
  f.dataset("/x-coordinate", {cells}, cell_centres(cells));
  f.dataset("/t-coordinate", {frames + 1}, times(frames, 0.05));
  f.number("/", "Nu", nu);
}

}  // namespace ups::test
