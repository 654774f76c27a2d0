// Trees to option structs, strictly: every unknown, mistyped or out-of-range key is collected with its place.
#pragma once
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "ups/config/schema.h"
#include "ups/config/writer.h"
#include "ups/core/error.h"

namespace ups::config {

// What one reading finds. Notices and errors carry places so that they can be sorted.
class Findings {
 public:
  void error(const Place& place, std::string what, std::string hint = {});
  void notice(const Place& place, std::string text);
  bool ok() const { return errors_.empty(); }
  // Throws ConfigErrors, sorted by place, if there is any error. strict: notices count as errors.
  void raise(bool strict = false) const;
  std::vector<std::string> notices() const;  // sorted, each once

 private:
  struct Item {
    Place place;
    std::string what, hint;
  };
  std::vector<Item> errors_, notices_;
};

struct ReadContext {
  const Schema& schema;
  Findings& findings;
  std::map<std::string, Place> places;            // of every value that was read
  std::map<std::string, std::string> redacted{};  // values that held ${env:NAME}, as written
};

namespace detail {

// Leaves. They report a mismatch and return false.
bool read_bool(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, bool& out);
bool read_integer(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, int64_t& out);
bool read_real(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, double& out);
bool read_text(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info, std::string& out);
bool read_real_or_text(ReadContext& c, const Node& n, const std::string& path, const FieldInfo& info,
                       std::variant<double, std::string>& out);
void read_free_form(const Node& n, std::string& out);
void expected(ReadContext& c, const Node& n, const std::string& path, const std::string& what, const std::string& hint = {});
// Unknown keys of a map; `known` are the names its fields took.
void report_unknown(ReadContext& c, const Node& map, const std::string& path, const std::set<std::string, std::less<>>& known);
// Status of a key that is present; false = refused, do not read it.
bool report_status(ReadContext& c, const Entry& e, const std::string& path, const FieldInfo& info);
std::string child(const std::string& path, std::string_view name);

class ReadVisitor {
 public:
  ReadVisitor(ReadContext& context, const Node& map, const std::string& path) : c_(context), map_(map), path_(path) {}

  template <class T>
  void operator()(std::string_view name, T& field, const FieldInfo& info) {
    known.emplace(name);
    const Entry* e = map_.find(name);
    const std::string path = child(path_, name);
    if (e == nullptr) {
      if (info.required) c_.findings.error(map_.place, "missing key '" + path + "'", std::string(info.doc));
      return;
    }
    if (!report_status(c_, *e, path, info)) return;
    if (!read(e->value, field, path, info)) return;
    c_.places[path] = e->value.place;
    keep_redacted(e->value, path);
  }

  std::set<std::string, std::less<>> known;

 private:
  bool read(const Node& n, bool& f, const std::string& p, const FieldInfo& i) { return read_bool(c_, n, p, i, f); }
  bool read(const Node& n, int64_t& f, const std::string& p, const FieldInfo& i) { return read_integer(c_, n, p, i, f); }
  bool read(const Node& n, double& f, const std::string& p, const FieldInfo& i) { return read_real(c_, n, p, i, f); }
  bool read(const Node& n, std::variant<double, std::string>& f, const std::string& p, const FieldInfo& i) {
    return read_real_or_text(c_, n, p, i, f);
  }
  bool read(const Node& n, std::string& f, const std::string& p, const FieldInfo& i) {
    if (i.free_form) {
      read_free_form(n, f);
      return true;
    }
    return read_text(c_, n, p, i, f);
  }
  template <class T>
  bool read(const Node& n, std::optional<T>& f, const std::string& p, const FieldInfo& i) {
    if (n.is_null()) {
      f.reset();
      return true;
    }
    T value{};
    if (!read(n, value, p, i)) return false;
    f = std::move(value);
    return true;
  }
  template <class T>
  bool read(const Node& n, std::optional<std::optional<T>>& f, const std::string& p, const FieldInfo& i) {
    std::optional<T> value;  // an explicit null is a value here
    if (!read(n, value, p, i)) return false;
    f = std::move(value);
    return true;
  }
  template <class T>
  bool read(const Node& n, std::vector<T>& f, const std::string& p, const FieldInfo& i) {
    if constexpr (std::is_same_v<T, std::string>) {
      if (n.is_scalar()) {  // `task: burgers1d` is a list of one
        std::string one;
        if (!read_text(c_, n, p, i, one)) return false;
        f = {one};
        keep_redacted(n, p + "[0]");
        return true;
      }
    }
    if (!n.is_list()) {
      expected(c_, n, p, "a list", n.is_null() ? "write [] for an empty one" : "write [..]");
      return false;
    }
    std::vector<T> values(n.items.size());
    bool ok = true;
    for (size_t k = 0; k < values.size(); ++k) ok = read_item(n.items[k], values, k, p + "[" + std::to_string(k) + "]", i) && ok;
    if (ok) f = std::move(values);
    return ok;
  }
  template <class T>
  bool read_item(const Node& n, std::vector<T>& values, size_t k, const std::string& p, const FieldInfo& i) {
    T value{};  // std::vector<bool> has no element references
    if (!read(n, value, p, i)) return false;
    values[k] = std::move(value);
    keep_redacted(n, p);
    return true;
  }
  template <class T>
  bool read(const Node& n, std::map<std::string, T>& f, const std::string& p, const FieldInfo& i) {
    if (!n.is_map()) {
      expected(c_, n, p, "a map", "write {key: value}");
      return false;
    }
    std::map<std::string, T> values;
    bool ok = true;
    for (const Entry& e : n.entries) {
      keep_redacted(e.value, child(p, e.key));
      ok = read(e.value, values[e.key], child(p, e.key), i) && ok;
    }
    if (ok) f = std::move(values);
    return ok;
  }
  template <class T>
    requires IsStruct<T>
  bool read(const Node& n, T& f, const std::string& p, const FieldInfo&) {
    if (n.is_null()) return true;  // a block whose keys are all commented out
    if (!n.is_map()) {
      expected(c_, n, p, "a block of keys");
      return false;
    }
    ReadVisitor inner(c_, n, p);
    T::fields(f, inner);
    report_unknown(c_, n, p, inner.known);
    return true;
  }

  void keep_redacted(const Node& n, const std::string& path) {
    if (!n.redacted.empty()) c_.redacted[path] = n.redacted;
  }

  ReadContext& c_;
  const Node& map_;
  std::string path_;
};

}  // namespace detail

// Reads a whole tree into `out`, which holds the defaults. Mistakes go to context.findings.
template <class T>
void read_struct(ReadContext& context, const Node& root, T& out) {
  detail::ReadVisitor visitor(context, root, "");
  T::fields(out, visitor);
  detail::report_unknown(context, root, "", visitor.known);
}

}  // namespace ups::config
