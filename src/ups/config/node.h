// The YAML tree that files, overrides and dumps share. Every node knows its place; no node is shared, so merging cannot alias.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ups::config {

// Where text came from: a file, "--set 2", "environment PDEBENCH_ROOT".
struct Source {
  std::string name;
  int order = 0;        // errors are sorted by it
  bool is_file = true;  // has lines and columns
};

struct Place {
  std::shared_ptr<const Source> source;
  int line = 0, column = 0;  // one-based
  std::string text() const;  // "file:12:5", "--set 2", "default"
  bool operator<(const Place& other) const;
};

struct Entry;

struct Node {
  enum class Kind { null, scalar, list, map };
  Kind kind = Kind::null;
  std::string text;      // scalar
  bool quoted = false;   // scalar that is text whatever it looks like
  std::string redacted;  // the text before ${env:NAME} was replaced; empty if it held none
  Place place;
  std::vector<Node> items;     // list
  std::vector<Entry> entries;  // map, in file order, keys unique

  static Node null();
  static Node plain(std::string text);   // number or boolean
  static Node string(std::string text);  // quoted
  static Node list();
  static Node map();

  bool is_null() const { return kind == Kind::null; }
  bool is_scalar() const { return kind == Kind::scalar; }
  bool is_list() const { return kind == Kind::list; }
  bool is_map() const { return kind == Kind::map; }

  const Entry* find(std::string_view key) const;
  Entry* find(std::string_view key);
  void set(std::string key, Node value);  // replaces or appends
  bool erase(std::string_view key);
  // Nodes along a dotted path; nullptr if one is missing.
  const Node* at(std::string_view dotted) const;

 private:
  static Node of(Kind k);
};

struct Entry {
  std::string key;
  Place place;  // of the key
  Node value;
};

// Not inside the class: clang then wants Entry complete for the destructor.
inline Node Node::null() { return {}; }
inline Node Node::list() { return of(Kind::list); }
inline Node Node::map() { return of(Kind::map); }

// Same kind, text and children, in the same order; places do not matter.
bool same_value(const Node& a, const Node& b);

// Lays `over` on `base`: maps merge deeply, everything else (an explicit null too) replaces.
void merge(Node& base, Node over);

}  // namespace ups::config
