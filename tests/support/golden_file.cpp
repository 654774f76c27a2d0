#include "golden_file.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace ups::test {
namespace {

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.string());
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

at::ScalarType dtype_of(const std::string& name) {
  static const std::map<std::string, at::ScalarType> table{
      {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf}, {"BF16", at::kBFloat16}, {"I64", at::kLong},
      {"I32", at::kInt},    {"I16", at::kShort}, {"I8", at::kChar},  {"U8", at::kByte},       {"BOOL", at::kBool}};
  return table.at(name);
}

}  // namespace

TensorMap load_safetensors(const std::filesystem::path& file) {
  const std::string bytes = read_file(file);
  uint64_t header = 0;
  if (bytes.size() < 8) throw std::runtime_error(file.string() + ": too short");
  std::memcpy(&header, bytes.data(), 8);
  if (header > bytes.size() - 8) throw std::runtime_error(file.string() + ": bad header length");
  const auto json = nlohmann::json::parse(bytes.begin() + 8, bytes.begin() + 8 + static_cast<std::ptrdiff_t>(header));
  const char* data = bytes.data() + 8 + header;
  const size_t size = bytes.size() - 8 - header;
  TensorMap out;
  for (const auto& [name, entry] : json.items()) {
    if (name == "__metadata__") continue;
    const auto shape = entry.at("shape").get<std::vector<int64_t>>();
    const auto offsets = entry.at("data_offsets").get<std::vector<size_t>>();
    at::Tensor t = at::empty(shape, at::TensorOptions().dtype(dtype_of(entry.at("dtype").get<std::string>())));
    if (offsets.at(1) > size || offsets[0] > offsets[1] || offsets[1] - offsets[0] != t.nbytes())
      throw std::runtime_error(file.string() + ": bad extent of " + name);
    if (t.nbytes() > 0) std::memcpy(t.data_ptr(), data + offsets[0], t.nbytes());
    out.emplace(name, std::move(t));
  }
  return out;
}

nlohmann::json load_json(const std::filesystem::path& file) { return nlohmann::json::parse(read_file(file)); }

double number(const nlohmann::json& value) {
  if (value.is_number()) return value.get<double>();
  const auto text = value.get<std::string>();
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  throw std::runtime_error("not a number: " + text);
}

std::filesystem::path golden_dir(const char* environment_variable, const std::string& folder) {
  if (const char* value = std::getenv(environment_variable); value && *value) return value;
  return std::filesystem::path(UPS_SOURCE_DIR) / "tests" / "golden" / folder;
}

double max_abs_diff(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) return std::numeric_limits<double>::infinity();
  const at::Tensor x = a.detach().to(at::kCPU, at::kDouble).contiguous(), y = b.detach().to(at::kCPU, at::kDouble).contiguous();
  const double *p = x.const_data_ptr<double>(), *q = y.const_data_ptr<double>();
  double worst = 0;
  for (int64_t i = 0; i < x.numel(); ++i) {
    if (p[i] == q[i] || (std::isnan(p[i]) && std::isnan(q[i]))) continue;
    const double d = std::abs(p[i] - q[i]);
    if (!(d < std::numeric_limits<double>::infinity())) return std::numeric_limits<double>::infinity();
    worst = std::max(worst, d);
  }
  return worst;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.scalar_type() != b.scalar_type() || a.sizes() != b.sizes()) return false;
  const at::Tensor x = a.detach().cpu().contiguous(), y = b.detach().cpu().contiguous();
  return x.nbytes() == 0 || std::memcmp(x.const_data_ptr(), y.const_data_ptr(), x.nbytes()) == 0;
}

}  // namespace ups::test
