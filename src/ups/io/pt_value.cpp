#include "ups/io/pt_value.h"

namespace ups::io {

PtValue::PtValue() = default;
PtValue::PtValue(const PtValue&) = default;
PtValue::PtValue(PtValue&&) noexcept = default;
PtValue& PtValue::operator=(const PtValue&) = default;
PtValue& PtValue::operator=(PtValue&&) noexcept = default;
PtValue::~PtValue() = default;

namespace {
PtValue make(PtValue::Kind kind) {
  PtValue v;
  v.kind = kind;
  return v;
}
}  // namespace

PtValue PtValue::of_bool(bool v) {
  PtValue out = make(Kind::boolean);
  out.integer = v ? 1 : 0;
  return out;
}
PtValue PtValue::of_int(int64_t v) {
  PtValue out = make(Kind::integer);
  out.integer = v;
  return out;
}
PtValue PtValue::of_real(double v) {
  PtValue out = make(Kind::real);
  out.real = v;
  return out;
}
PtValue PtValue::of_text(std::string v) {
  PtValue out = make(Kind::text);
  out.text = std::move(v);
  return out;
}
PtValue PtValue::of_tensor(at::Tensor v) {
  PtValue out = make(Kind::tensor);
  out.tensor = std::move(v);
  return out;
}
PtValue PtValue::make_list(std::vector<PtValue> items) {
  PtValue out = make(Kind::list);
  out.items = std::move(items);
  return out;
}
PtValue PtValue::make_tuple(std::vector<PtValue> items) {
  PtValue out = make(Kind::tuple);
  out.items = std::move(items);
  return out;
}
PtValue PtValue::make_dict() { return make(Kind::dict); }

PtValue& PtValue::set(std::string key, PtValue value) {
  pairs.push_back({of_text(std::move(key)), std::move(value)});
  return *this;
}
PtValue& PtValue::set(int64_t key, PtValue value) {
  pairs.push_back({of_int(key), std::move(value)});
  return *this;
}

const PtValue* PtValue::find(std::string_view key) const {
  for (const auto& p : pairs)
    if (p.key.kind == Kind::text && p.key.text == key) return &p.value;
  return nullptr;
}
const PtValue* PtValue::find(int64_t key) const {
  for (const auto& p : pairs)
    if (p.key.kind == Kind::integer && p.key.integer == key) return &p.value;
  return nullptr;
}

}  // namespace ups::io
