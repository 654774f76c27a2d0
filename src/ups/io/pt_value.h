// The plain data of a .pt file as a tree: what torch.save can write and torch.load(weights_only=True) accepts.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ups::io {

struct PtEntry;

struct PtValue {
  enum class Kind { none, boolean, integer, real, text, tuple, list, dict, tensor };
  Kind kind = Kind::none;
  int64_t integer = 0;  // also the value of a boolean
  double real = 0;
  std::string text;
  at::Tensor tensor;
  std::vector<PtValue> items;   // tuple, list
  std::vector<PtEntry> pairs;   // dict, in insertion order; keys are texts or integers

  PtValue();
  PtValue(const PtValue&);
  PtValue(PtValue&&) noexcept;
  PtValue& operator=(const PtValue&);
  PtValue& operator=(PtValue&&) noexcept;
  ~PtValue();

  static PtValue of_bool(bool v);
  static PtValue of_int(int64_t v);
  static PtValue of_real(double v);
  static PtValue of_text(std::string v);
  static PtValue of_tensor(at::Tensor v);
  static PtValue make_list(std::vector<PtValue> items = {});
  static PtValue make_tuple(std::vector<PtValue> items = {});
  static PtValue make_dict();

  // Appends to a dict; the caller keeps keys unique.
  PtValue& set(std::string key, PtValue value);
  PtValue& set(int64_t key, PtValue value);
  const PtValue* find(std::string_view key) const;  // nullptr if absent or not a dict
  const PtValue* find(int64_t key) const;
  bool is(Kind k) const { return kind == k; }
};

struct PtEntry {
  PtValue key, value;
};

}  // namespace ups::io
