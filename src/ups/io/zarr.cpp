// Metadata of io/zarr.h: everything that is checked before a chunk is read.
#include "ups/io/zarr.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::io {
namespace {

using nlohmann::json;

constexpr int64_t kMostChunkBytes = int64_t{256} << 20;
constexpr size_t kMostChildren = 100000;

bool exists_in(const Fd& dir, const char* name) { return dir && ::faccessat(dir.get(), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

json read_json(const Fd& dir, const char* name, const std::string& place) {
  ReadOptions o;
  o.max_bytes = uint64_t{1} << 20;
  o.code = ExitCode::data;
  o.follow = false;
  const Bytes bytes = read_file_at(dir.get(), name, place + "/" + name, o);
  json j = json::parse(bytes.text(), nullptr, false);
  if (j.is_discarded() || !j.is_object()) throw data_error(place + "/" + name, "expected a JSON object, found something else");
  return j;
}

std::vector<int64_t> extents(const json& j, const char* key, int64_t least, const std::string& place) {
  const json list = j.value(key, json());
  if (!list.is_array() || list.empty() || list.size() > 7) throw data_error(place, fmt::format("{}: expected 1 to 7 extents, found others", key));
  std::vector<int64_t> out;
  for (const json& v : list) {
    const bool good = v.is_number_unsigned() && v.get<uint64_t>() < (uint64_t{1} << 31) && v.get<int64_t>() >= least;
    if (!good) throw data_error(place, fmt::format("{}: expected extents from {} below 2^31, found {}", key, least, v.dump().substr(0, 32)));
    out.push_back(v.get<int64_t>());
  }
  return out;
}

// Product times item bytes, or -1 if above the limit.
int64_t bytes_of(const std::vector<int64_t>& extents, int64_t item, int64_t limit) {
  int64_t n = item;
  for (const int64_t e : extents) {
    if (e > 0 && n > limit / e) return -1;
    n *= e;
  }
  return n;
}

int64_t item_bytes(const std::string& dtype, const std::string& place) {
  static constexpr const char* kTypes[] = {"f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4"};
  const bool order = dtype.size() == 3 && (dtype[0] == '<' || dtype[0] == '>' || (dtype[0] == '|' && dtype[2] == '1'));
  const bool known = order && std::any_of(std::begin(kTypes), std::end(kTypes), [&](const char* t) { return dtype.compare(1, 2, t) == 0; });
  if (!known) throw data_error(place, fmt::format("dtype: expected float32, float64 or integers, found {}", escape_text(dtype.substr(0, 32))));
  return dtype[2] - '0';
}

}  // namespace

ZarrStore::ZarrStore(const std::string& path, int64_t max_array_bytes)
    : path_(path), label_(std::filesystem::path(path).filename().string()), max_bytes_(max_array_bytes) {
  if (label_.empty()) label_ = std::filesystem::path(path).parent_path().filename().string();
  const Fd root = open_directory(path_);
  if (exists_in(root, "zarr.json") && !exists_in(root, ".zgroup")) {
    throw data_error(path, "expected Zarr version 2, found version 3", "write it with zarr_format=2");
  }
  if (!exists_in(root, ".zgroup")) throw data_error(path, "expected a Zarr group (.zgroup), found another folder");
  const json version = read_json(root, ".zgroup", label_).value("zarr_format", json());
  if (version != 2) throw data_error(path, fmt::format("zarr_format: expected 2, found {}", version.dump().substr(0, 32)));
}

Fd ZarrStore::directory(const std::string& path) const {
  Fd dir = open_directory(path_);
  for (const std::string& part : path.empty() ? std::vector<std::string>() : split(path, '/')) {
    if (part.empty() || part[0] == '.') throw data_error(label_ + "/" + path, "expected names of members, found another path");
    const int fd = ::openat(dir.get(), part.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) return Fd();
    dir = Fd(fd);
  }
  return dir;
}

bool ZarrStore::is_group(const std::string& path) const { return exists_in(directory(path), ".zgroup"); }
bool ZarrStore::is_array(const std::string& path) const { return exists_in(directory(path), ".zarray"); }

std::vector<std::string> ZarrStore::children(const std::string& group) const {
  std::vector<std::string> names;
  std::error_code ec;
  const std::filesystem::path folder = group.empty() ? std::filesystem::path(path_) : std::filesystem::path(path_) / group;
  for (const auto& e : std::filesystem::directory_iterator(folder, ec)) {
    const std::string name = e.path().filename().string();
    if (name.empty() || name[0] == '.') continue;
    const std::string child = group.empty() ? name : group + "/" + name;
    if (is_group(child) || is_array(child)) names.push_back(name);
    if (names.size() > kMostChildren) throw data_error(label_ + "/" + group, fmt::format("expected at most {} members, found more", kMostChildren));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::unique_ptr<ZarrArray> ZarrStore::array(const std::string& path) const {
  const std::string place = label_ + "/" + path;
  std::unique_ptr<ZarrArray> a(new ZarrArray);
  a->dir_ = directory(path);
  if (!exists_in(a->dir_, ".zarray")) throw data_error(place, "expected a Zarr array, found nothing");
  const json j = read_json(a->dir_, ".zarray", place);
  const auto text = [&](const json& from, const char* key, const char* missing) {
    const json v = from.value(key, json());
    return v.is_string() ? v.get<std::string>() : std::string(missing);
  };
  if (j.value("zarr_format", json()) != 2) throw data_error(place, "zarr_format: expected 2, found another");
  if (text(j, "order", "C") != "C") throw data_error(place, "order: expected C, found another", "write it with order='C'");
  if (const json f = j.value("filters", json()); !f.is_null() && !f.empty()) throw data_error(place, "filters: expected none, found some");
  a->place_ = place;
  a->separator_ = text(j, "dimension_separator", ".");
  if (a->separator_ != "." && a->separator_ != "/") throw data_error(place, "dimension_separator: expected . or /, found another");
  ZarrInfo& info = a->info_;
  info.path = path;
  info.dtype = text(j, "dtype", "?");
  const int64_t item = item_bytes(info.dtype, place);
  info.shape = extents(j, "shape", 0, place);
  info.chunk = extents(j, "chunks", 1, place);
  if (info.shape.size() != info.chunk.size()) throw data_error(place, "chunks: expected the rank of shape, found another");
  const int64_t bytes = bytes_of(info.shape, item, max_bytes_);
  if (bytes < 0) throw data_error(place, fmt::format("expected at most {} bytes, found more", max_bytes_), "raise data.max_dataset_bytes if it is trusted");
  if (bytes_of(info.chunk, 8, kMostChunkBytes) < 0) throw data_error(place, "expected chunks of at most 256 MiB, found larger ones");
  info.elements = bytes / item;
  if (const json c = j.value("compressor", json()); !c.is_null()) {
    info.compressor = c.is_object() ? text(c, "id", "?") : "?";
    if (info.compressor != "zlib" && info.compressor != "gzip") {
      throw data_error(place, fmt::format("compressor: expected none, zlib or gzip, found {}", escape_text(info.compressor.substr(0, 32))),
                       "write it with compressor=numcodecs.Zlib()");
    }
  }
  const json fill = j.value("fill_value", json());
  a->fill_ = fill.is_number() ? fill.get<double>() : fill.is_string() ? std::numeric_limits<double>::quiet_NaN() : 0;
  return a;
}

std::map<std::string, double> ZarrStore::numbers(const std::string& path) const {
  std::map<std::string, double> out;
  const Fd dir = directory(path);
  if (!exists_in(dir, ".zattrs")) return out;
  const json attributes = read_json(dir, ".zattrs", label_ + "/" + path);
  for (const auto& [key, v] : attributes.items()) {
    if (v.is_number()) out[key] = v.get<double>();
  }
  return out;
}

std::map<std::string, std::string> ZarrStore::texts(const std::string& path) const {
  std::map<std::string, std::string> out;
  const Fd dir = directory(path);
  if (!exists_in(dir, ".zattrs")) return out;
  const json attributes = read_json(dir, ".zattrs", label_ + "/" + path);
  for (const auto& [key, v] : attributes.items()) {
    if (v.is_string()) out[key] = v.get<std::string>();
  }
  return out;
}

}  // namespace ups::io
