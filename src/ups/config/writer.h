// Option structs to trees: the visitor behind dumps, hashes and defaults.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "ups/config/node.h"
#include "ups/config/number.h"
#include "ups/core/fields.h"

namespace ups::config {

namespace detail {
struct NoVisitor {
  template <class T>
  void operator()(std::string_view, T&, const FieldInfo&) {}
};
}  // namespace detail

// Has T a field list?
template <class T>
inline constexpr bool IsStruct = requires(T& t, detail::NoVisitor& v) { T::fields(t, v); };

// JSON text kept by a free-form field, back to a tree; empty text is null.
Node node_of_free_form(const std::string& json);

// Empty result: the key is absent (the outer level of an optional of an optional).
inline std::optional<Node> node_of(bool v) { return Node::plain(v ? "true" : "false"); }
inline std::optional<Node> node_of(int64_t v) { return Node::plain(std::to_string(v)); }
inline std::optional<Node> node_of(double v) { return Node::plain(format_real(v)); }
inline std::optional<Node> node_of(const std::string& v) { return Node::string(v); }
inline std::optional<Node> node_of(const std::variant<double, std::string>& v) {
  return std::holds_alternative<double>(v) ? node_of(std::get<double>(v)) : node_of(std::get<std::string>(v));
}
template <class T>
std::optional<Node> node_of(const std::optional<T>& v);
template <class T>
std::optional<Node> node_of(const std::optional<std::optional<T>>& v);
template <class T>
std::optional<Node> node_of(const std::vector<T>& v);
template <class T>
std::optional<Node> node_of(const std::map<std::string, T>& v);
template <class T>
  requires IsStruct<T>
std::optional<Node> node_of(const T& v);

namespace detail {
class WriteVisitor {
 public:
  template <class T>
  void operator()(std::string_view name, const T& field, const FieldInfo& info) {
    std::optional<Node> n;
    if constexpr (std::is_same_v<T, std::string>) {
      n = info.free_form ? (field.empty() ? std::optional<Node>() : node_of_free_form(field)) : node_of(field);
    } else {
      n = node_of(field);
    }
    if (!n) return;
    Entry e;
    e.key = std::string(name);
    e.value = std::move(*n);
    map.entries.push_back(std::move(e));
  }
  Node map = Node::map();
};
}  // namespace detail

template <class T>
std::optional<Node> node_of(const std::optional<T>& v) {
  return v ? node_of(*v) : std::optional<Node>(Node::null());
}
template <class T>
std::optional<Node> node_of(const std::optional<std::optional<T>>& v) {
  return v ? node_of(*v) : std::nullopt;
}
template <class T>
std::optional<Node> node_of(const std::vector<T>& v) {
  Node n = Node::list();
  for (const T& x : v) n.items.push_back(*node_of(x));
  return n;
}
template <class T>
std::optional<Node> node_of(const std::map<std::string, T>& v) {
  Node n = Node::map();
  for (const auto& [key, x] : v) n.set(key, *node_of(x));
  return n;
}
template <class T>
  requires IsStruct<T>
std::optional<Node> node_of(const T& v) {
  detail::WriteVisitor w;
  T::fields(v, w);
  return std::move(w.map);
}

}  // namespace ups::config
