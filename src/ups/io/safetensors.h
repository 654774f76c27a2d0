// safetensors: u64 little-endian header length N, N bytes of JSON, row-major little-endian data that tiles the rest of the file.
// The reader takes files from strangers: every rule of reliability.md 10 is checked before a byte of data is used.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ups/io/files.h"

namespace ups::io {

// A tensor in somebody else's memory.
struct TensorView {
  std::string name, dtype;     // dtype: F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL C64 F8_E4M3 F8_E5M2
  std::vector<int64_t> shape;  // empty = scalar
  const void* data = nullptr;
  size_t bytes = 0;            // product(shape) * dtype size
};

using Metadata = std::map<std::string, std::string>;

size_t safetensors_dtype_size(std::string_view dtype);  // 0 = unknown

// Exact size of the file that write_safetensors makes.
uint64_t safetensors_size(std::span<const TensorView> tensors, const Metadata& metadata);
// Tensors are ordered by dtype size (descending), then name; names must be unique and not "__metadata__".
void write_safetensors(OutputFile& file, std::span<const TensorView> tensors, const Metadata& metadata = {});
void write_safetensors(const std::filesystem::path& path, std::span<const TensorView> tensors, const Metadata& metadata = {});

struct SafetensorsView {
  std::vector<TensorView> tensors;  // in file order; data points into the parsed bytes and may be unaligned
  Metadata metadata;
};

// bytes: the whole file. Throws Error (exit 4) naming `place`.
SafetensorsView parse_safetensors(std::span<const char> bytes, const std::string& place);

}  // namespace ups::io
