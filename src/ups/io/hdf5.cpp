#include "ups/io/hdf5.h"

#define H5_USE_110_API 1
#include <fmt/format.h>
#include <hdf5.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/hdf5_check.h"
#include "ups/io/hdf5_lzf.h"

namespace ups::io {
namespace {

using Lock = std::lock_guard<std::recursive_mutex>;
constexpr int kMaxDepth = 4;
constexpr int64_t kMaxLinks = 200000;

hid_t id_of(const std::shared_ptr<void>& file) { return *static_cast<const hid_t*>(file.get()); }

H5Kind kind_of(hid_t file, const std::string& path) {
  H5O_info_t info;
  if (H5Oget_info_by_name(file, path.c_str(), &info, H5P_DEFAULT) < 0) return H5Kind::other;
  if (info.type == H5O_TYPE_GROUP) return H5Kind::group;
  return info.type == H5O_TYPE_DATASET ? H5Kind::dataset : H5Kind::other;
}

std::string join_path(const std::string& group, const std::string& name) {
  return group == "/" ? "/" + name : group + "/" + name;
}

const char* link_text(H5L_type_t type) {
  if (type == H5L_TYPE_SOFT) return "a soft link";
  if (type == H5L_TYPE_EXTERNAL) return "an external link";
  return "a user-defined link";
}

// Walks the components; false if one is missing, throws if one is not a hard link.
bool resolve(hid_t file, const std::string& label, const std::string& object) {
  std::string prefix;
  for (const std::string& part : split(object, '/')) {
    if (part.empty()) continue;
    if (part == "." || part == "..")
      throw data_error(label + ":" + object, "object path holds '" + part + "', expected plain names");
    prefix += "/" + part;
    if (H5Lexists(file, prefix.c_str(), H5P_DEFAULT) <= 0) return false;
    H5L_info_t info;
    if (H5Lget_info(file, prefix.c_str(), &info, H5P_DEFAULT) < 0) return false;
    if (info.type != H5L_TYPE_HARD) {
      throw data_error(label + ":" + prefix, fmt::format("expected a hard link, found {}", link_text(info.type)),
                       "copy the data into one plain file (h5repack, h5copy)");
    }
  }
  return true;
}

struct Collected {
  std::vector<std::string> names;
  std::string bad;
  H5L_type_t bad_type = H5L_TYPE_HARD;
  std::vector<haddr_t> addresses;
  int64_t budget = 0;
};

herr_t collect(hid_t, const char* name, const H5L_info_t* info, void* data) {
  auto& c = *static_cast<Collected*>(data);
  if (info->type != H5L_TYPE_HARD) {
    c.bad = name;
    c.bad_type = info->type;
    return 1;
  }
  if (--c.budget < 0) return 2;
  c.names.emplace_back(name);
  c.addresses.push_back(info->u.address);
  return 0;
}

Collected list(hid_t file, const std::string& label, const std::string& group, int64_t budget) {
  Collected c;
  c.budget = budget;
  hsize_t position = 0;
  const herr_t rc = H5Literate_by_name(file, group.c_str(), H5_INDEX_NAME, H5_ITER_INC, &position, collect, &c, H5P_DEFAULT);
  if (rc == 1) {
    throw data_error(label + ":" + join_path(group, c.bad), fmt::format("expected a hard link, found {}", link_text(c.bad_type)),
                     "copy the data into one plain file (h5repack, h5copy)");
  }
  if (rc == 2) throw data_error(label + ":" + group, fmt::format("expected at most {} links, found more", kMaxLinks));
  if (rc < 0) throw data_error(label + ":" + group, "cannot list the group: expected an intact index, found " + hdf5_reason());
  return c;
}

}  // namespace

std::recursive_mutex& hdf5_lock() {
  static std::recursive_mutex mutex;
  return mutex;
}

void hdf5_init() {
  const Lock lock(hdf5_lock());
  static const bool done = [] {
    H5PLset_loading_state(0);  // before anything else: a file must not be able to name code that we load
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    register_lzf();
    return true;
  }();
  (void)done;
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);  // somebody (h5py in the same process) may have turned it on again
}

std::unique_ptr<H5File> H5File::open(const std::string& path, const H5Limits& limits) {
  const std::string label = std::filesystem::path(path).filename().string();
  struct stat st {};
  if (stat(path.c_str(), &st) != 0) {
    const int e = errno;
    if (e == EACCES) throw io_error(path, "cannot open the file: permission denied");
    throw data_error(path, fmt::format("expected an HDF5 file, found {}", e == ENOENT ? "no such file" : std::strerror(e)));
  }
  if (!S_ISREG(st.st_mode)) throw data_error(path, "expected a regular HDF5 file, found a directory or device");
  std::FILE* probe = std::fopen(path.c_str(), "rb");
  if (!probe) throw io_error(path, fmt::format("cannot open the file: {}", std::strerror(errno)));
  unsigned char head[8] = {};
  const size_t got = std::fread(head, 1, 8, probe);
  std::fclose(probe);
  const bool signature = got == 8 && std::memcmp(head, "\x89HDF\r\n\x1a\n", 8) == 0;
  if (!signature) throw data_error(path, fmt::format("expected an HDF5 file, found {} bytes without its signature", st.st_size));

  const Lock lock(hdf5_lock());
  hdf5_init();
  const hid_t fapl = H5Pcreate(H5P_FILE_ACCESS);
  H5Pset_fapl_sec2(fapl);
#if H5_VERSION_GE(1, 10, 7)
  H5Pset_file_locking(fapl, 0, 1);  // network file systems refuse locks; we only read
#endif
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY, fapl);
  H5Pclose(fapl);
  if (id < 0) throw data_error(path, fmt::format("expected an intact HDF5 file, found {} bytes: {}", st.st_size, hdf5_reason()));
  std::unique_ptr<H5File> file(new H5File);
  file->path_ = path;
  file->label_ = label;
  file->bytes_ = st.st_size;
  file->limits_ = limits;
  file->file_ = std::shared_ptr<void>(new hid_t(id), [](void* p) {
    const Lock guard(hdf5_lock());
    H5Fclose(*static_cast<hid_t*>(p));
    delete static_cast<hid_t*>(p);
  });
  return file;
}

H5File::~H5File() = default;

std::vector<H5Link> H5File::children(const std::string& group) const {
  const Lock lock(hdf5_lock());
  const hid_t file = id_of(file_);
  if (!resolve(file, label_, group)) throw data_error(label_ + ":" + group, "expected a group, found nothing");
  std::vector<H5Link> links;
  for (std::string& name : list(file, label_, group, kMaxLinks).names) {
    const H5Kind kind = kind_of(file, join_path(group, name));
    links.push_back({std::move(name), kind});
  }
  return links;
}

bool H5File::contains(const std::string& object) const {
  const Lock lock(hdf5_lock());
  return resolve(id_of(file_), label_, object);
}

std::vector<H5Link> H5File::walk() const {
  const Lock lock(hdf5_lock());
  const hid_t file = id_of(file_);
  std::vector<H5Link> found;
  std::set<haddr_t> done;
  int64_t budget = kMaxLinks;
  struct Visit {
    std::string group;
    std::vector<haddr_t> above;  // addresses of the group and its ancestors
  };
  H5O_info_t root;
  if (H5Oget_info_by_name(file, "/", &root, H5P_DEFAULT) < 0)
    throw data_error(label_ + ":/", "cannot read the root group: " + hdf5_reason());
  std::vector<Visit> todo;
  todo.push_back({"/", {root.addr}});
  while (!todo.empty()) {
    const Visit visit = std::move(todo.back());
    todo.pop_back();
    const Collected c = list(file, label_, visit.group, budget);
    budget = c.budget;
    for (size_t i = 0; i < c.names.size(); ++i) {
      const std::string path = join_path(visit.group, c.names[i]);
      if (std::find(visit.above.begin(), visit.above.end(), c.addresses[i]) != visit.above.end()) {
        throw data_error(label_ + ":" + path, "expected a tree, found a hard link to a group above it");
      }
      const H5Kind kind = kind_of(file, path);
      found.push_back({path, kind});
      if (kind != H5Kind::group || !done.insert(c.addresses[i]).second) continue;
      if (visit.above.size() >= kMaxDepth) {
        throw data_error(label_ + ":" + path, fmt::format("expected at most {} levels of groups, found more", kMaxDepth));
      }
      Visit next{path, visit.above};
      next.above.push_back(c.addresses[i]);
      todo.push_back(std::move(next));
    }
  }
  std::sort(found.begin(), found.end(), [](const H5Link& a, const H5Link& b) { return a.name < b.name; });
  return found;
}

std::unique_ptr<H5Dataset> H5File::dataset(const std::string& object) const {
  const Lock lock(hdf5_lock());
  const hid_t file = id_of(file_);
  const std::string place = label_ + ":" + object;
  if (!resolve(file, label_, object)) throw data_error(place, "expected a dataset, found nothing");
  if (kind_of(file, object) != H5Kind::dataset) throw data_error(place, "expected a dataset, found another kind of object");
  std::unique_ptr<H5Dataset> d(new H5Dataset);
  d->file_ = file_;
  d->file_name_ = label_;
  hid_t id = H5Dopen2(file, object.c_str(), H5P_DEFAULT);
  if (id < 0) throw data_error(place, "cannot open the dataset: expected an intact header, found " + hdf5_reason());
  d->id_ = id;
  d->info_ = check_dataset(id, place, limits_);
  d->info_.path = object;
  if (!d->info_.chunk.empty()) {  // reopen with a cache for one row of chunks: a chunk is decoded once per window
    const hid_t dapl = chunk_cache_plist(d->info_, limits_.chunk_cache_bytes);
    H5Dclose(id);
    d->id_ = H5Dopen2(file, object.c_str(), dapl);
    H5Pclose(dapl);
    if (d->id_ < 0) throw data_error(place, "cannot open the dataset: " + hdf5_reason());
  }
  return d;
}

std::vector<H5Attribute> H5File::attributes(const std::string& object) const {
  const Lock lock(hdf5_lock());
  const hid_t file = id_of(file_);
  if (!resolve(file, label_, object)) throw data_error(label_ + ":" + object, "expected an object, found nothing");
  const hid_t id = H5Oopen(file, object.c_str(), H5P_DEFAULT);
  if (id < 0) throw data_error(label_ + ":" + object, "cannot open the object: " + hdf5_reason());
  try {
    std::vector<H5Attribute> a = read_attributes(id, label_ + ":" + object);
    H5Oclose(id);
    return a;
  } catch (...) {
    H5Oclose(id);
    throw;
  }
}

}  // namespace ups::io
