#include "ups/io/tensors.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "ups/core/error.h"

namespace ups::io {
namespace {
constexpr std::array<std::pair<at::ScalarType, const char*>, 13> kNames{{{at::kFloat, "F32"},
                                                                         {at::kDouble, "F64"},
                                                                         {at::kHalf, "F16"},
                                                                         {at::kBFloat16, "BF16"},
                                                                         {at::kLong, "I64"},
                                                                         {at::kInt, "I32"},
                                                                         {at::kShort, "I16"},
                                                                         {at::kChar, "I8"},
                                                                         {at::kByte, "U8"},
                                                                         {at::kBool, "BOOL"},
                                                                         {at::kUInt16, "U16"},
                                                                         {at::kUInt32, "U32"},
                                                                         {at::kUInt64, "U64"}}};
}  // namespace

const char* dtype_name(at::ScalarType type) {
  for (const auto& [t, name] : kNames)
    if (t == type) return name;
  return type == at::kComplexFloat ? "C64" : "";
}

at::ScalarType dtype_from_name(std::string_view name) {
  for (const auto& [t, n] : kNames)
    if (n == name) return t;
  return name == "C64" ? at::kComplexFloat : at::ScalarType::Undefined;
}

TensorViews view_tensors(const NamedTensors& tensors) {
  TensorViews out;
  for (const auto& [name, tensor] : tensors) {
    const at::Tensor t = tensor.detach().to(at::kCPU).contiguous();
    TORCH_INTERNAL_ASSERT(*dtype_name(t.scalar_type()) != '\0', "no safetensors dtype for ", name);
    out.views.push_back({name, dtype_name(t.scalar_type()), t.sizes().vec(), t.data_ptr(), t.nbytes()});
    out.owners.push_back(t);
  }
  return out;
}

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata) {
  write_safetensors(path, view_tensors(tensors).views, metadata);
}

NamedTensors tensors_from_safetensors(std::span<const char> bytes, const std::string& place, Metadata* metadata) {
  SafetensorsView view = parse_safetensors(bytes, place);
  NamedTensors out;
  out.reserve(view.tensors.size());
  for (auto& t : view.tensors) {
    const at::ScalarType type = dtype_from_name(t.dtype);
    if (type == at::ScalarType::Undefined)
      throw checkpoint_error(place, "tensor '" + t.name + "' has the unsupported dtype " + t.dtype);
    // The file may place data unaligned, so copy. Strides of a shape with a zero may overflow: ATen checks and throws.
    at::Tensor tensor;
    try {
      tensor = at::empty(t.shape, at::TensorOptions().dtype(type));
    } catch (const c10::Error&) {
      throw checkpoint_error(place, "the shape of tensor '" + t.name + "' overflows");
    }
    if (t.bytes > 0) std::memcpy(tensor.data_ptr(), t.data, t.bytes);
    if (type == at::kBool) {  // a bool that is neither 0 nor 1 is undefined behaviour
      const auto* b = static_cast<const unsigned char*>(t.data);
      if (std::any_of(b, b + t.bytes, [](unsigned char c) { return c > 1; }))
        throw checkpoint_error(place, "tensor '" + t.name + "' holds a bad boolean");
    }
    out.emplace_back(std::move(t.name), std::move(tensor));
  }
  if (metadata != nullptr) *metadata = std::move(view.metadata);
  return out;
}

NamedTensors load_safetensors(const std::filesystem::path& path, Metadata* metadata) {
  const Bytes bytes = read_file(path, {.code = ExitCode::checkpoint});
  return tensors_from_safetensors(bytes.span(), path.string(), metadata);
}

}  // namespace ups::io
