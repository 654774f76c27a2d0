#include "ups/io/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/io/safetensors_header.h"

namespace ups::io {
namespace {

static_assert(std::endian::native == std::endian::little, "the formats are little-endian");

constexpr std::array<std::pair<std::string_view, size_t>, 16> kDtypes{{{"F64", 8},
                                                                       {"I64", 8},
                                                                       {"U64", 8},
                                                                       {"C64", 8},
                                                                       {"F32", 4},
                                                                       {"I32", 4},
                                                                       {"U32", 4},
                                                                       {"F16", 2},
                                                                       {"BF16", 2},
                                                                       {"I16", 2},
                                                                       {"U16", 2},
                                                                       {"I8", 1},
                                                                       {"U8", 1},
                                                                       {"BOOL", 1},
                                                                       {"F8_E4M3", 1},
                                                                       {"F8_E5M2", 1}}};

struct Layout {
  std::string header;  // padded JSON
  std::vector<const TensorView*> order;
  uint64_t data_bytes = 0;
};

Layout make_layout(std::span<const TensorView> tensors, const Metadata& metadata) {
  Layout out;
  for (const auto& t : tensors) out.order.push_back(&t);
  std::sort(out.order.begin(), out.order.end(), [](const TensorView* a, const TensorView* b) {
    const size_t sa = safetensors_dtype_size(a->dtype), sb = safetensors_dtype_size(b->dtype);
    return sa != sb ? sa > sb : a->name < b->name;
  });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  uint64_t offset = 0;
  for (const TensorView* t : out.order) {
    assert(safetensors_dtype_size(t->dtype) > 0 && t->name != "__metadata__" && !header.contains(t->name));
    header[t->name] = {{"dtype", t->dtype}, {"shape", t->shape}, {"data_offsets", {offset, offset + t->bytes}}};
    offset += t->bytes;
  }
  out.data_bytes = offset;
  out.header = header.dump();
  while (out.header.size() % 8 != 0) out.header += ' ';
  return out;
}

}  // namespace

size_t safetensors_dtype_size(std::string_view dtype) {
  for (const auto& [name, size] : kDtypes)
    if (name == dtype) return size;
  return 0;
}

uint64_t safetensors_size(std::span<const TensorView> tensors, const Metadata& metadata) {
  const Layout layout = make_layout(tensors, metadata);
  return 8 + layout.header.size() + layout.data_bytes;
}

void write_safetensors(OutputFile& file, std::span<const TensorView> tensors, const Metadata& metadata) {
  const Layout layout = make_layout(tensors, metadata);
  const uint64_t n = layout.header.size();
  file.write(&n, sizeof n);
  file.write(layout.header);
  for (const TensorView* t : layout.order) file.write(t->data, t->bytes);
}

void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors, const Metadata& metadata) {
  write_atomic(path, [&](OutputFile& f) { write_safetensors(f, tensors, metadata); }, safetensors_size(tensors, metadata));
}

SafetensorsView parse_safetensors(std::span<const char> bytes, const std::string& place) {
  const auto refuse = [&](const std::string& what) { throw checkpoint_error(place, "damaged safetensors file: " + what); };
  constexpr uint64_t kMaxHeader = 100'000'000;
  if (bytes.size() < 8) refuse("shorter than 8 bytes");
  uint64_t n = 0;
  std::memcpy(&n, bytes.data(), 8);
  if (n > kMaxHeader || n > bytes.size() - 8)
    refuse("header length " + std::to_string(n) + " exceeds the file or 100000000");
  if (n < 2 || bytes[8] != '{') refuse("the header does not start with '{'");
  const uint64_t data_bytes = bytes.size() - 8 - n;

  detail::HeaderParser parser;
  nlohmann::json::sax_parse(bytes.data() + 8, bytes.data() + 8 + n, &parser);
  if (!parser.error.empty()) refuse(parser.error);

  SafetensorsView out;
  out.metadata = std::move(parser.metadata);
  std::vector<detail::HeaderEntry>& entries = parser.entries;
  for (const auto& e : entries) {
    const uint64_t size = safetensors_dtype_size(e.dtype);
    if (size == 0) refuse("tensor '" + e.name + "' has the unknown dtype '" + e.dtype + "'");
    if (e.end < e.begin || e.end > data_bytes) refuse("tensor '" + e.name + "' lies outside the data");
    uint64_t product = size;
    for (const uint64_t s : e.shape) {
      if (s > INT64_MAX || __builtin_mul_overflow(product, s, &product))
        refuse("the shape of tensor '" + e.name + "' overflows");
    }
    if (product != e.end - e.begin) refuse("the byte range of tensor '" + e.name + "' does not fit its shape");
  }
  // Empty tensors share an offset with their neighbour: order by (begin, end).
  std::sort(entries.begin(), entries.end(),
            [](const auto& a, const auto& b) { return a.begin != b.begin ? a.begin < b.begin : a.end < b.end; });
  uint64_t expected = 0;
  for (const auto& e : entries) {
    if (e.begin != expected) refuse("tensor '" + e.name + "' leaves a hole or overlaps its neighbour");
    expected = e.end;
  }
  if (expected != data_bytes)
    refuse("the tensors cover " + std::to_string(expected) + " of " + std::to_string(data_bytes) + " data bytes");
  out.tensors.reserve(entries.size());
  for (auto& e : entries) {
    TensorView t{
        std::move(e.name), std::move(e.dtype), {}, bytes.data() + 8 + n + e.begin, static_cast<size_t>(e.end - e.begin)};
    t.shape.assign(e.shape.begin(), e.shape.end());
    out.tensors.push_back(std::move(t));
  }
  return out;
}

}  // namespace ups::io
