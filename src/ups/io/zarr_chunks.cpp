// Chunks of io/zarr.h: reading, decoding, gathering.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include "ups/core/error.h"
#include "ups/io/zarr.h"

namespace ups::io {
namespace {

// Exactly `bytes` decoded bytes, never more: a chunk has one size.
std::vector<unsigned char> inflate_exactly(std::span<const char> in, size_t bytes, const std::string& place) {
  std::vector<unsigned char> out(bytes + 1);
  z_stream z{};
  if (inflateInit2(&z, 15 + 32) != Z_OK) throw data_error(place, "cannot start zlib");  // 32: zlib or gzip header
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(in.data()));
  z.avail_in = static_cast<uInt>(in.size());
  z.next_out = out.data();
  z.avail_out = static_cast<uInt>(out.size());
  const int rc = inflate(&z, Z_FINISH);
  const size_t got = z.total_out;
  inflateEnd(&z);
  if (rc != Z_STREAM_END || got != bytes) throw data_error(place, fmt::format("expected a chunk of {} bytes, found {}", bytes, rc == Z_STREAM_END ? "another size" : "damaged data"));
  out.resize(bytes);
  return out;
}

template <class T>
double item(const unsigned char* p, bool swap) {
  unsigned char b[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) b[i] = p[swap ? sizeof(T) - 1 - i : i];
  T v;
  std::memcpy(&v, b, sizeof(T));
  return static_cast<double>(v);
}

using Decoder = double (*)(const unsigned char*, bool);
Decoder decoder(const std::string& dtype) {
  const std::string type = dtype.substr(1);
  if (type == "f4") return item<float>;
  if (type == "f8") return item<double>;
  if (type == "i1") return item<int8_t>;
  if (type == "i2") return item<int16_t>;
  if (type == "i4") return item<int32_t>;
  if (type == "i8") return item<int64_t>;
  if (type == "u1") return item<uint8_t>;
  if (type == "u2") return item<uint16_t>;
  return item<uint32_t>;
}

}  // namespace

const std::vector<double>& ZarrArray::load(const std::vector<int64_t>& chunk) {
  if (chunk == loaded_) return values_;
  loaded_.clear();
  size_t items = 1;
  for (const int64_t c : info_.chunk) items *= static_cast<size_t>(c);
  const auto width = static_cast<size_t>(info_.dtype[2] - '0');
  std::string name;
  for (const int64_t c : chunk) name += (name.empty() ? "" : separator_) + std::to_string(c);
  const std::string place = place_ + "/" + name;
  values_.assign(items, fill_);
  // "0/1/2": every component without following links.
  Fd folder;
  size_t at = 0;
  const Fd* dir = &dir_;
  for (size_t slash = name.find('/'); slash != std::string::npos; slash = name.find('/', at)) {
    const int fd = ::openat(dir->get(), name.substr(at, slash - at).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno != ENOENT) throw data_error(place, "expected a folder of chunks, found a link or another object");
    if (fd < 0) return loaded_ = chunk, values_;
    folder = Fd(fd);
    dir = &folder;
    at = slash + 1;
  }
  const std::string file = name.substr(at);
  if (::faccessat(dir->get(), file.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) return loaded_ = chunk, values_;
  ReadOptions o;
  o.max_bytes = items * width + items / 8 + 65536;  // what deflate can blow it up to
  o.code = ExitCode::data;
  o.follow = false;
  const Bytes bytes = read_file_at(dir->get(), file, place, o);
  std::vector<unsigned char> raw;
  if (info_.compressor.empty()) {
    if (bytes.size != items * width) throw data_error(place, fmt::format("expected a chunk of {} bytes, found {}", items * width, bytes.size));
    raw.assign(bytes.data.get(), bytes.data.get() + bytes.size);
  } else {
    raw = inflate_exactly(bytes.span(), items * width, place);
  }
  const bool swap = info_.dtype[0] == (std::endian::native == std::endian::little ? '>' : '<');
  const Decoder decode = decoder(info_.dtype);
  for (size_t i = 0; i < items; ++i) values_[i] = decode(raw.data() + i * width, swap);
  loaded_ = chunk;
  return values_;
}

template <class Real>
void ZarrArray::read_any(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<Real> out) {
  const size_t rank = info_.shape.size();
  int64_t total = 1;
  for (size_t d = 0; d < rank; ++d) {
    if (count[d] == 0) return;
    if (start[d] < 0 || stride[d] < 1 || start[d] + (count[d] - 1) * stride[d] >= info_.shape[d]) {
      throw data_error(place_, fmt::format("expected an extent above {} on axis {}, found {}", start[d] + (count[d] - 1) * stride[d], d, info_.shape[d]));
    }
    total *= count[d];
  }
  if (total != static_cast<int64_t>(out.size())) throw data_error(place_, "internal: hyperslab and buffer differ in size");
  const std::lock_guard<std::mutex> lock(mutex_);
  std::vector<int64_t> first(rank), last(rank), chunk(rank);  // chunks that hold something of it
  for (size_t d = 0; d < rank; ++d) {
    first[d] = start[d] / info_.chunk[d];
    last[d] = (start[d] + (count[d] - 1) * stride[d]) / info_.chunk[d];
  }
  // Steps an odometer; false after the last position.
  const auto next = [](std::vector<int64_t>& at, const std::vector<int64_t>& lo, const std::vector<int64_t>& hi) {
    for (size_t d = at.size(); d-- > 0;) {
      if (++at[d] <= hi[d]) return true;
      at[d] = lo[d];
    }
    return false;
  };
  chunk = first;
  do {
    std::vector<int64_t> lo(rank), hi(rank);  // positions in `count` inside this chunk
    bool any = true;
    for (size_t d = 0; d < rank; ++d) {
      const int64_t begin = chunk[d] * info_.chunk[d], end = begin + info_.chunk[d];
      lo[d] = std::max<int64_t>(0, (begin - start[d] + stride[d] - 1) / stride[d]);
      if (begin <= start[d]) lo[d] = 0;
      hi[d] = std::min(count[d] - 1, (end - 1 - start[d]) / stride[d]);
      any = any && lo[d] <= hi[d];
    }
    if (!any) continue;
    const std::vector<double>& values = load(chunk);
    std::vector<int64_t> at = lo;
    do {
      int64_t from = 0, to = 0;
      for (size_t d = 0; d < rank; ++d) {
        from = from * info_.chunk[d] + (start[d] + at[d] * stride[d] - chunk[d] * info_.chunk[d]);
        to = to * count[d] + at[d];
      }
      out[static_cast<size_t>(to)] = static_cast<Real>(values[static_cast<size_t>(from)]);
    } while (next(at, lo, hi));
  } while (next(chunk, first, last));
}

void ZarrArray::read(std::span<const int64_t> start, std::span<const int64_t> stride, std::span<const int64_t> count, std::span<float> out) {
  read_any(start, stride, count, out);
}

std::vector<double> ZarrArray::read_all(int64_t max_elements) {
  if (info_.elements > max_elements) throw data_error(place_, fmt::format("expected at most {} values, found {}", max_elements, info_.elements));
  std::vector<double> out(static_cast<size_t>(info_.elements));
  const std::vector<int64_t> zero(info_.shape.size(), 0), one(info_.shape.size(), 1);
  if (!out.empty()) read_any(zero, one, info_.shape, std::span<double>(out));
  return out;
}

}  // namespace ups::io
