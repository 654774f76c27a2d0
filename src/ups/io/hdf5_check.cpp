#include "ups/io/hdf5_check.h"

#define H5_USE_110_API 1
#include <fmt/format.h>
#include <hdf5.h>

#include <algorithm>
#include <limits>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/hdf5_lzf.h"

namespace ups::io {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// Closes an HDF5 id when leaving the scope.
template <herr_t (*Close)(hid_t)>
struct Handle {
  hid_t id;
  explicit Handle(hid_t i) : id(i) {}
  ~Handle() {
    if (id >= 0) Close(id);
  }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
};

bool plain_float(hid_t type, size_t size) {
  size_t sign, epos, esize, mpos, msize;
  if (H5Tget_fields(type, &sign, &epos, &esize, &mpos, &msize) < 0) return false;
  const size_t bits = 8 * size, exponent = size == 2 ? 5 : size == 4 ? 8 : 11, mantissa = bits - 1 - exponent;
  return (size == 2 || size == 4 || size == 8) && H5Tget_precision(type) == bits && H5Tget_offset(type) == 0 && sign == bits - 1 &&
         epos == mantissa && esize == exponent && mpos == 0 && msize == mantissa &&
         H5Tget_ebias(type) == (size_t{1} << (exponent - 1)) - 1 && H5Tget_norm(type) == H5T_NORM_IMPLIED;
}

bool plain_int(hid_t type, size_t size) {
  return (size == 1 || size == 2 || size == 4 || size == 8) && H5Tget_precision(type) == 8 * size && H5Tget_offset(type) == 0;
}

bool boolean_enum(hid_t type) {
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  signed char value[2] = {9, 9};
  for (unsigned i = 0; i < 2; ++i) H5Tget_member_value(type, i, &value[i]);
  return (value[0] == 0 && value[1] == 1) || (value[0] == 1 && value[1] == 0);
}

const char* class_name(H5T_class_t c) {
  switch (c) {
    case H5T_INTEGER: return "integer";
    case H5T_FLOAT: return "float";
    case H5T_TIME: return "time";
    case H5T_STRING: return "string";
    case H5T_BITFIELD: return "bitfield";
    case H5T_OPAQUE: return "opaque";
    case H5T_COMPOUND: return "compound";
    case H5T_REFERENCE: return "reference";
    case H5T_ENUM: return "enum";
    case H5T_VLEN: return "variable-length";
    case H5T_ARRAY: return "array";
    default: return "unknown";
  }
}

// "" if the type is not one we read.
std::string number_type(hid_t type) {
  const H5T_class_t c = H5Tget_class(type);
  const size_t size = H5Tget_size(type);
  if (c == H5T_ENUM) return boolean_enum(type) ? "bool" : "";
  const std::string order = size > 1 && H5Tget_order(type) == H5T_ORDER_BE ? " big-endian" : "";
  if (c == H5T_FLOAT && plain_float(type, size)) return fmt::format("float{}{}", 8 * size, order);
  if (c == H5T_INTEGER && plain_int(type, size)) {
    return fmt::format("{}int{}{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", 8 * size, order);
  }
  return "";
}

void check_filters(hid_t plist, int64_t chunk_bytes, const std::string& place, H5DatasetInfo& info) {
  const int n = H5Pget_nfilters(plist);
  if (n < 0 || n > 4) throw data_error(place, fmt::format("expected at most 4 filters, found {}", n));
  for (int i = 0; i < n; ++i) {
    unsigned flags = 0, config = 0, values[16] = {};
    size_t count = 16;
    char name[64] = {};
    const H5Z_filter_t id = H5Pget_filter2(plist, static_cast<unsigned>(i), &flags, &count, values, sizeof name - 1, name,
        &config);
    switch (id) {
      case H5Z_FILTER_DEFLATE: info.filters.emplace_back("deflate"); break;
      case H5Z_FILTER_SHUFFLE: info.filters.emplace_back("shuffle"); break;
      case H5Z_FILTER_FLETCHER32: info.filters.emplace_back("fletcher32"); break;
      case kLzfFilter: {
        info.filters.emplace_back("lzf");
        // HDF5 believes the decoded length, so a lie here would read past the buffer. Checksums ahead of LZF add 4 bytes.
        const int64_t extra = std::find(info.filters.begin(), info.filters.end(), "fletcher32") != info.filters.end() ? 4 : 0;
        if (count >= 3 && values[2] != 0 && values[2] != chunk_bytes && values[2] != chunk_bytes + extra) {
          throw data_error(place, fmt::format("LZF filter: expected decoded chunks of {} bytes, found {}", chunk_bytes,
              values[2]));
        }
        break;
      }
      default:
        throw data_error(place, fmt::format("expected filters deflate, shuffle, fletcher32 or LZF, found filter {}", id),
                         "h5repack -f GZIP=1 rewrites the file");
    }
  }
}

void check_type(hid_t dataset, const std::string& place, H5DatasetInfo& info, int64_t& type_bytes) {
  const Handle<H5Tclose> type(H5Dget_type(dataset));
  if (type.id < 0) throw data_error(place, "cannot read the element type: " + hdf5_reason());
  info.type = number_type(type.id);
  if (info.type.empty()) {
    throw data_error(place, fmt::format("expected numbers (float16/32/64, integers, bool), found {} elements of {} bytes",
                                        class_name(H5Tget_class(type.id)), H5Tget_size(type.id)));
  }
  type_bytes = static_cast<int64_t>(H5Tget_size(type.id));
}

void check_shape(hid_t dataset, const std::string& place, int64_t type_bytes, const H5Limits& limits, H5DatasetInfo& info) {
  const Handle<H5Sclose> space(H5Dget_space(dataset));
  if (space.id < 0 || H5Sget_simple_extent_type(space.id) != H5S_SIMPLE) {
    throw data_error(place, "expected an array, found a scalar or empty dataspace");
  }
  const int rank = H5Sget_simple_extent_ndims(space.id);
  if (rank < 1 || rank > 7) throw data_error(place, fmt::format("expected rank 1 to 7, found {}", rank));
  hsize_t dims[H5S_MAX_RANK];
  H5Sget_simple_extent_dims(space.id, dims, nullptr);
  int64_t elements = 1;
  for (int i = 0; i < rank; ++i) {
    if (dims[i] >= (hsize_t{1} << 31)) throw data_error(place, fmt::format("expected extents below 2^31, found {}", dims[i]));
    const int64_t extent = static_cast<int64_t>(dims[i]);
    info.shape.push_back(extent);
    if (extent > 0 && elements > std::numeric_limits<int64_t>::max() / 8 / extent) {
      throw data_error(place, "expected a size below 2^63 bytes, found more");
    }
    elements *= extent;
  }
  info.elements = elements;
  info.logical_bytes = elements * type_bytes;
  if (info.logical_bytes > limits.max_dataset_bytes) {
    throw data_error(place, fmt::format("expected at most {} bytes, found {}", limits.max_dataset_bytes, info.logical_bytes),
                     "raise data.max_dataset_bytes if the file is trusted");
  }
}

}  // namespace

std::string hdf5_reason() {
  std::string text;
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* e, void* out) -> herr_t {
        if (n == 0 && e->desc) *static_cast<std::string*>(out) = e->desc;
        return 0;
      },
      &text);
  H5Eclear2(H5E_DEFAULT);
  return text.empty() ? "an unknown HDF5 error" : text.substr(0, 160);
}

H5DatasetInfo check_dataset(int64_t dataset, const std::string& place, const H5Limits& limits) {
  H5DatasetInfo info;
  const Handle<H5Pclose> plist(H5Dget_create_plist(dataset));
  if (plist.id < 0) throw data_error(place, "cannot read the layout: " + hdf5_reason());
  const H5D_layout_t layout = H5Pget_layout(plist.id);
  if (layout == H5D_VIRTUAL) throw data_error(place, "expected contiguous, compact or chunked storage, found a virtual dataset");
  if (layout != H5D_CONTIGUOUS && layout != H5D_COMPACT && layout != H5D_CHUNKED) {
    throw data_error(place, "expected contiguous, compact or chunked storage, found an unknown layout");
  }
  const int external = H5Pget_external_count(plist.id);
  if (external != 0) throw data_error(place, fmt::format("expected data inside the file, found {} external file(s)", external));
  info.layout = layout == H5D_CHUNKED ? "chunked" : layout == H5D_COMPACT ? "compact" : "contiguous";

  int64_t type_bytes = 0;
  check_type(dataset, place, info, type_bytes);
  check_shape(dataset, place, type_bytes, limits, info);

  int64_t chunk_bytes = 0;
  if (layout == H5D_CHUNKED) {
    hsize_t dims[H5S_MAX_RANK];
    const int rank = H5Pget_chunk(plist.id, H5S_MAX_RANK, dims);
    chunk_bytes = type_bytes;
    for (int i = 0; i < rank; ++i) {
      info.chunk.push_back(static_cast<int64_t>(dims[i]));
      if (dims[i] == 0 || chunk_bytes > 256 * kMiB / static_cast<int64_t>(std::min<hsize_t>(dims[i], hsize_t{1} << 40))) {
        throw data_error(place, "expected chunks of at most 256 MiB, found larger ones");
      }
      chunk_bytes *= static_cast<int64_t>(dims[i]);
    }
  }
  check_filters(plist.id, chunk_bytes, place, info);
  info.stored_bytes = static_cast<int64_t>(H5Dget_storage_size(dataset));
  if (info.logical_bytes > 16 * kMiB && info.stored_bytes < info.logical_bytes / 2000) {
    throw data_error(place, fmt::format("expected at least {} stored bytes, found {} for {} logical bytes",
        info.logical_bytes / 2000,
                                        info.stored_bytes, info.logical_bytes));
  }
  return info;
}

int64_t chunk_cache_plist(const H5DatasetInfo& info, int64_t max_bytes) {
  int64_t chunks = 1, bytes = info.elements > 0 ? info.logical_bytes / info.elements : 1;
  for (size_t i = 0; i < info.chunk.size(); ++i) {
    bytes *= info.chunk[i];
    if (i >= 2) chunks *= (info.shape[i] + info.chunk[i] - 1) / info.chunk[i];
  }
  const int64_t wanted = std::clamp(chunks * bytes, kMiB, std::max(kMiB, max_bytes));
  const int64_t slots = std::clamp<int64_t>(100 * (wanted / std::max<int64_t>(bytes, 1) + 1), 521, 100003) | 1;
  const hid_t dapl = H5Pcreate(H5P_DATASET_ACCESS);
  // Plain LRU (w0 = 0). With w0 = 1, HDF5 1.10.8 never evicts chunks that were read in part: the cache grows to the whole file.
  H5Pset_chunk_cache(dapl, static_cast<size_t>(slots), static_cast<size_t>(wanted), 0.0);
  return dapl;
}

namespace {

// Reads one attribute into `a`; false if its class is not one we show.
bool read_attribute(hid_t attr, const std::string& place, H5Attribute& a) {
  const Handle<H5Tclose> type(H5Aget_type(attr));
  const Handle<H5Sclose> space(H5Aget_space(attr));
  if (type.id < 0 || space.id < 0) return false;
  const hsize_t bytes = H5Aget_storage_size(attr);
  if (bytes > 65536) throw data_error(place, fmt::format("attribute '{}': expected at most 65536 bytes, found {}", a.name,
      bytes));
  const hssize_t n = H5Sget_simple_extent_npoints(space.id);
  if (H5Sget_simple_extent_type(space.id) == H5S_NULL || n < 1 || n > 65536) return false;
  const size_t count = static_cast<size_t>(n);
  if (!number_type(type.id).empty()) {
    a.numbers.resize(count);
    return H5Aread(attr, H5T_NATIVE_DOUBLE, a.numbers.data()) >= 0;
  }
  if (H5Tget_class(type.id) != H5T_STRING) return false;
  const auto add = [&](std::string text) {
    if (!is_valid_utf8(text))
      throw data_error(place, fmt::format("attribute '{}': expected UTF-8 text, found other bytes", a.name));
    a.texts.push_back(std::move(text));
  };
  if (H5Tis_variable_str(type.id) <= 0) {
    const size_t size = H5Tget_size(type.id);
    if (size == 0 || size * count > 65536) return false;
    std::vector<char> buffer(size * count);
    if (H5Aread(attr, type.id, buffer.data()) < 0) return false;
    for (size_t i = 0; i < count; ++i) {
      const char* s = buffer.data() + i * size;
      const size_t length = static_cast<size_t>(std::find(s, s + size, '\0') - s);
      add(std::string(s, length));
    }
    return true;
  }
  std::vector<char*> pointers(count, nullptr);
  if (H5Aread(attr, type.id, pointers.data()) < 0) return false;
  std::vector<std::string> texts;
  bool too_long = false;
  for (char* p : pointers) {
    texts.emplace_back(p ? p : "");
    too_long = too_long || texts.back().size() > 4096;
  }
  H5Dvlen_reclaim(type.id, space.id, H5P_DEFAULT, pointers.data());
  if (too_long) throw data_error(place, fmt::format("attribute '{}': expected strings of at most 4096 bytes, found more",
      a.name));
  for (std::string& t : texts) add(std::move(t));
  return true;
}

}  // namespace

std::vector<H5Attribute> read_attributes(int64_t object, const std::string& place) {
  H5O_info_t info;
  if (H5Oget_info(object, &info) < 0) throw data_error(place, "cannot read the object header: " + hdf5_reason());
  if (info.num_attrs > 1024) throw data_error(place, fmt::format("expected at most 1024 attributes, found {}", info.num_attrs));
  std::vector<H5Attribute> all;
  for (hsize_t i = 0; i < info.num_attrs; ++i) {
    const Handle<H5Aclose> attr(H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, i, H5P_DEFAULT, H5P_DEFAULT));
    if (attr.id < 0) throw data_error(place, "cannot open an attribute: " + hdf5_reason());
    char name[256] = {};
    H5Aget_name(attr.id, sizeof name, name);
    H5Attribute a;
    a.name = name;
    if (read_attribute(attr.id, place, a)) all.push_back(std::move(a));
  }
  return all;
}

}  // namespace ups::io
