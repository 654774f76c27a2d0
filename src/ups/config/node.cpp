#include "ups/config/node.h"

#include <algorithm>

namespace ups::config {

std::string Place::text() const {
  if (!source) return "default";
  if (!source->is_file || line == 0) return source->name;
  return source->name + ":" + std::to_string(line) + ":" + std::to_string(column);
}

bool Place::operator<(const Place& other) const {
  const int a = source ? source->order : -1;
  const int b = other.source ? other.source->order : -1;
  if (a != b) return a < b;
  if (line != other.line) return line < other.line;
  return column < other.column;
}

Node Node::of(Kind k) {
  Node n;
  n.kind = k;
  return n;
}

Node Node::plain(std::string text) {
  Node n = of(Kind::scalar);
  n.text = std::move(text);
  return n;
}

Node Node::string(std::string text) {
  Node n = plain(std::move(text));
  n.quoted = true;
  return n;
}

const Entry* Node::find(std::string_view key) const {
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  return it == entries.end() ? nullptr : &*it;
}

Entry* Node::find(std::string_view key) { return const_cast<Entry*>(static_cast<const Node*>(this)->find(key)); }

void Node::set(std::string key, Node value) {
  if (Entry* e = find(key)) {
    e->place = value.place;
    e->value = std::move(value);
    return;
  }
  Entry e;
  e.key = std::move(key);
  e.place = value.place;
  e.value = std::move(value);
  entries.push_back(std::move(e));
}

bool Node::erase(std::string_view key) {
  const auto it = std::find_if(entries.begin(), entries.end(), [&](const Entry& e) { return e.key == key; });
  if (it == entries.end()) return false;
  entries.erase(it);
  return true;
}

const Node* Node::at(std::string_view dotted) const {
  const Node* node = this;
  while (node != nullptr && !dotted.empty()) {
    const size_t dot = dotted.find('.');
    const Entry* e = node->is_map() ? node->find(dotted.substr(0, dot)) : nullptr;
    node = e == nullptr ? nullptr : &e->value;
    dotted = dot == std::string_view::npos ? std::string_view{} : dotted.substr(dot + 1);
  }
  return node;
}

bool same_value(const Node& a, const Node& b) {
  if (a.kind != b.kind || a.text != b.text || a.quoted != b.quoted || a.items.size() != b.items.size() ||
      a.entries.size() != b.entries.size())
    return false;
  for (size_t i = 0; i < a.items.size(); ++i) {
    if (!same_value(a.items[i], b.items[i])) return false;
  }
  for (size_t i = 0; i < a.entries.size(); ++i) {
    if (a.entries[i].key != b.entries[i].key || !same_value(a.entries[i].value, b.entries[i].value)) return false;
  }
  return true;
}

void merge(Node& base, Node over) {
  if (!base.is_map() || !over.is_map()) {
    base = std::move(over);
    return;
  }
  base.place = over.place;
  for (Entry& e : over.entries) {
    if (Entry* mine = base.find(e.key)) {
      mine->place = e.place;
      merge(mine->value, std::move(e.value));
    } else {
      base.entries.push_back(std::move(e));
    }
  }
}

}  // namespace ups::config
