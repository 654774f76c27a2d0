// What a configuration may contain, read off the field lists: for unknown keys, aliases, `schema`, docs and shell completion.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ups/config/writer.h"
#include "ups/core/fields.h"

namespace ups::config {

struct KeyInfo {
  std::string path;  // "training.batch_size"; '*' stands for any key of a map: "optimizer.muon_split.*.rows"
  std::string
      type;  // "integer", "number", "text", "true/false", "list of ..", "map of ..", "block", "number or text", "anything"
  bool nullable = false;
  bool is_block = false;
  std::string default_text;  // flow YAML
  FieldInfo info;            // views into string literals
};

class Schema {
 public:
  template <class T>
  static Schema describe(const T& defaults);

  const std::vector<KeyInfo>& keys() const { return keys_; }  // in field order, blocks before their keys
  const KeyInfo* find(std::string_view path) const;
  // "muon_momentum" -> "muon_beta"; empty if the key is no alias there.
  std::string canonical(const std::string& parent, std::string_view key) const;
  bool is_map(std::string_view path) const;  // any key is allowed below it
  // The known path that the writer of `path` probably meant, or an empty text.
  std::string suggest(const std::string& path) const;
  void add(KeyInfo key);

 private:
  std::vector<KeyInfo> keys_;
  std::map<std::string, size_t, std::less<>> index_;
  std::map<std::string, std::string> aliases_;  // "optimizer.muon_momentum" -> "muon_beta"
};

// Renames alias keys of one file to their canonical names; two spellings of one key throw (exit 2).
void canonicalise(Node& root, const Schema& schema);

namespace detail {

class SchemaVisitor {
 public:
  SchemaVisitor(Schema& schema, std::string prefix) : schema_(schema), prefix_(std::move(prefix)) {}

  template <class T>
  void operator()(std::string_view name, const T& field, const FieldInfo& info) {
    const std::string path = prefix_.empty() ? std::string(name) : prefix_ + "." + std::string(name);
    KeyInfo key;
    key.path = path;
    key.info = info;
    key.type = info.free_form ? "anything" : type_name<T>();
    key.nullable = Nullable<T>::value;
    key.is_block = IsBlock<T>::value;
    if (!key.is_block) key.default_text = default_of(field);
    schema_.add(std::move(key));
    descend(path, field);
  }

 private:
  template <class T>
  struct Nullable : std::false_type {};
  template <class T>
  struct Nullable<std::optional<T>> : std::true_type {};
  template <class T>
  struct IsBlock : std::bool_constant<IsStruct<T>> {};
  template <class T>
  struct IsBlock<std::optional<T>> : IsBlock<T> {};

  template <class T>
  static std::string default_of(const T& field) {
    const std::optional<Node> n = node_of(field);
    return n ? flow_text(*n) : std::string();
  }
  static std::string flow_text(const Node& n);

  template <class T>
  static std::string type_name() {
    return TypeName<T>::get();
  }
  template <class T>
  struct TypeName {
    static std::string get() {
      if constexpr (std::is_same_v<T, bool>)
        return "true/false";
      else if constexpr (std::is_same_v<T, int64_t>)
        return "integer";
      else if constexpr (std::is_same_v<T, double>)
        return "number";
      else if constexpr (std::is_same_v<T, std::string>)
        return "text";
      else if constexpr (std::is_same_v<T, std::variant<double, std::string>>)
        return "number or text";
      else
        return "block";
    }
  };
  template <class T>
  struct TypeName<std::optional<T>> {
    static std::string get() { return TypeName<T>::get(); }
  };
  template <class T>
  struct TypeName<std::vector<T>> {
    static std::string get() { return "list of " + plural(TypeName<T>::get()); }
  };
  template <class T>
  struct TypeName<std::map<std::string, T>> {
    static std::string get() { return "map of " + plural(TypeName<T>::get()); }
  };
  static std::string plural(const std::string& s);

  template <class T>
  void descend(const std::string& path, const T& field) {
    if constexpr (IsStruct<T>) {
      SchemaVisitor inner(schema_, path);
      T::fields(field, inner);
    }
  }
  template <class T>
  void descend(const std::string& path, const std::optional<T>& field) {
    descend(path, field ? *field : T{});
  }
  template <class T>
  void descend(const std::string& path, const std::map<std::string, T>&) {
    if constexpr (IsStruct<T>) descend(path + ".*", T{});
  }

  Schema& schema_;
  std::string prefix_;
};

}  // namespace detail

template <class T>
Schema Schema::describe(const T& defaults) {
  Schema schema;
  detail::SchemaVisitor visitor(schema, "");
  T::fields(defaults, visitor);
  return schema;
}

}  // namespace ups::config
