// Golden values: safetensors into tensors, JSON, and where the folder is. Include after the torch headers of a test.
#pragma once
#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace ups::test {

using TensorMap = std::map<std::string, at::Tensor>;

// Throws std::runtime_error naming the file. Own memory; fp64, fp32, fp16, bf16, i64, i32, i16, i8, u8, bool.
TensorMap load_safetensors(const std::filesystem::path& file);
nlohmann::json load_json(const std::filesystem::path& file);
// A number, or the texts "nan", "inf", "-inf".
double number(const nlohmann::json& value);
// The environment variable if it is set and not empty, else tests/golden/<folder> of this source tree.
std::filesystem::path golden_dir(const char* environment_variable, const std::string& folder);
// max |a - b| in double; infinite if shapes differ or one is NaN where the other is not; equal infinities count 0.
double max_abs_diff(const at::Tensor& a, const at::Tensor& b);
// Same dtype, shape and bits (-0.0 differs from 0.0, equal NaN payloads are equal).
bool same_bits(const at::Tensor& a, const at::Tensor& b);

}  // namespace ups::test
