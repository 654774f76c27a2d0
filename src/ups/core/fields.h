// The vocabulary of option structs: one field list per struct, many visitors (strict reader, dump, schema, docs, hash).
//
//   struct AdamOptions {
//     double lr = 1e-3;
//     template <class Self, class V> static void fields(Self& s, V& v) {
//       v("lr", s.lr, {.doc = "learning rate", .min = 0, .max = 10});
//     }
//   };
//
// Field types that every visitor supports: bool, int64_t, double, std::string, std::variant<double, std::string> (a number or one
// of the choices), std::optional<T>, std::vector<T>, std::map<std::string, T> and structs with a field list.
// std::optional<std::optional<T>> tells an absent key (outer empty) from an explicit null (inner empty).
// Structs may inherit: Derived::fields calls Base::fields(s, v) first.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

namespace ups {

// H honoured; R honoured only by the reference objective or architecture; N accepted with one notice, no effect; X refused.
enum class KeyStatus { honoured, reference, no_effect, refused };

struct FieldInfo {
  std::string_view doc{};                      // one line: meaning, unit
  std::optional<double> min{}, max{};          // inclusive range of numbers (of each element in a list)
  bool open_min = false, open_max = false;     // exclude the end points
  std::vector<std::string_view> choices{};     // allowed texts
  std::vector<std::string_view> aliases{};     // other spellings; two spellings of one key in a file are an error
  KeyStatus status = KeyStatus::honoured;
  std::string_view advice{};                   // shown for status refused and no_effect: why, what to do instead
  bool required = false;
  bool free_form = false;                      // a std::string field that keeps any YAML subtree as JSON text
};

}  // namespace ups
