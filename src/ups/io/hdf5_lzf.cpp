#include "ups/io/hdf5_lzf.h"

#include <hdf5.h>
#include <lzf.h>

#include <cerrno>
#include <cstdlib>

namespace ups::io {
namespace {

constexpr size_t kMaxChunk = size_t{256} << 20;

// cd_values: filter revision, LZF version, bytes of a decoded chunk. The reader refuses datasets whose third value is not the true
// chunk size, because HDF5 trusts the length we return.
size_t lzf_filter(unsigned flags, size_t n_values, const unsigned values[], size_t n_bytes, size_t* buf_size, void** buf) {
  if (!(flags & H5Z_FLAG_REVERSE)) {  // encoding, used when a test or a converter writes
    void* out = std::malloc(n_bytes);
    if (!out) return 0;
    const unsigned n = lzf_compress(*buf, static_cast<unsigned>(n_bytes), out, static_cast<unsigned>(n_bytes));
    if (n == 0) {
      std::free(out);
      return 0;  // did not shrink: optional filters are skipped
    }
    std::free(*buf);
    *buf = out;
    *buf_size = n_bytes;
    return n;
  }
  if (n_bytes == 0 || n_bytes > kMaxChunk) return 0;
  size_t size = n_values >= 3 && values[2] > 0 ? values[2] : *buf_size;
  const bool exact = n_values >= 3 && values[2] > 0;
  for (; size <= kMaxChunk; size *= 2) {
    void* out = std::calloc(1, size);
    if (!out) return 0;
    errno = 0;
    const unsigned n = lzf_decompress(*buf, static_cast<unsigned>(n_bytes), out, static_cast<unsigned>(size));
    if (n > 0 && (!exact || n == size)) {
      std::free(*buf);
      *buf = out;
      *buf_size = size;
      return n;
    }
    const bool too_small = n == 0 && errno == E2BIG;
    std::free(out);
    if (exact || !too_small) return 0;
  }
  return 0;
}

herr_t set_local(hid_t plist, hid_t type, hid_t) {
  unsigned values[3] = {4, 0x0105, 0};
  hsize_t dims[32];
  const int rank = H5Pget_chunk(plist, 32, dims);
  if (rank < 0) return -1;
  hsize_t bytes = H5Tget_size(type);
  for (int i = 0; i < rank; ++i) bytes *= dims[i];
  if (bytes > kMaxChunk) return -1;
  values[2] = static_cast<unsigned>(bytes);
  return H5Pmodify_filter(plist, kLzfFilter, H5Z_FLAG_OPTIONAL, 3, values);
}

}  // namespace

void register_lzf() {
  static const H5Z_class2_t kClass = {H5Z_CLASS_T_VERS, kLzfFilter, 1, 1, "lzf", nullptr, set_local, lzf_filter};
  H5Zregister(&kClass);
}

}  // namespace ups::io
