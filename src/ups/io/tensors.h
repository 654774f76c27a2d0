// safetensors files of LibTorch tensors.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "ups/io/safetensors.h"

namespace ups::io {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// safetensors name of a dtype ("F32"), empty if it has none; and back (c10::ScalarType::Undefined if LibTorch lacks it).
const char* dtype_name(at::ScalarType type);
at::ScalarType dtype_from_name(std::string_view name);

// Contiguous CPU copies where needed, and views of them. Keep the result alive while the views are in use.
struct TensorViews {
  std::vector<at::Tensor> owners;
  std::vector<TensorView> views;
};
TensorViews view_tensors(const NamedTensors& tensors);

void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors, const Metadata& metadata = {});
// Tensors own their memory, in file order. Throws Error (exit 4) naming the file.
NamedTensors load_safetensors(const std::filesystem::path& path, Metadata* metadata = nullptr);
NamedTensors tensors_from_safetensors(std::span<const char> bytes, const std::string& place, Metadata* metadata = nullptr);

}  // namespace ups::io
