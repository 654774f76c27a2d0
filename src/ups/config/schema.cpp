#include "ups/config/schema.h"

#include <algorithm>

#include "ups/config/emit.h"
#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::config {
namespace {

std::string parent_of(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? std::string() : std::string(path.substr(0, dot));
}
std::string last_of(std::string_view path) {
  const size_t dot = path.rfind('.');
  return std::string(dot == std::string_view::npos ? path : path.substr(dot + 1));
}

int allowed_distance(std::string_view word) { return std::clamp(static_cast<int>(word.size()) / 2, 1, 3); }

void canonicalise_map(Node& node, const std::string& path, const Schema& schema) {
  const bool any = schema.is_map(path);
  for (Entry& e : node.entries) {
    const std::string name = any ? std::string() : schema.canonical(path, e.key);
    if (!name.empty()) {
      if (const Entry* other = node.find(name)) {
        const bool first = e.place < other->place;
        const Entry& late = first ? *other : e;
        throw usage_error(late.place.text(), "'" + e.key + "' and '" + name + "' are two spellings of one key",
                          "keep one; the other is at " + (first ? e : *other).place.text());
      }
      for (const Entry& other : node.entries) {
        if (&other != &e && schema.canonical(path, other.key) == name)
          throw usage_error(std::max(e.place, other.place).text(),
                            "'" + e.key + "' and '" + other.key + "' are two spellings of one key", "keep one");
      }
      e.key = name;
    }
    if (e.value.is_map()) canonicalise_map(e.value, (path.empty() ? "" : path + ".") + (any ? "*" : e.key), schema);
  }
}

}  // namespace

void Schema::add(KeyInfo key) {
  for (const auto alias : key.info.aliases) {
    const std::string parent = parent_of(key.path);
    aliases_[(parent.empty() ? "" : parent + ".") + std::string(alias)] = last_of(key.path);
  }
  index_[key.path] = keys_.size();
  keys_.push_back(std::move(key));
}

const KeyInfo* Schema::find(std::string_view path) const {
  const auto it = index_.find(path);
  return it == index_.end() ? nullptr : &keys_[it->second];
}

std::string Schema::canonical(const std::string& parent, std::string_view key) const {
  const auto it = aliases_.find((parent.empty() ? "" : parent + ".") + std::string(key));
  return it == aliases_.end() ? std::string() : it->second;
}

bool Schema::is_map(std::string_view path) const {
  const KeyInfo* k = find(path);
  return k != nullptr && starts_with(k->type, "map of");
}

std::string Schema::suggest(const std::string& path) const {
  const std::string parent = parent_of(path), word = last_of(path);
  // Siblings first: a slip in the last word is by far the most common mistake.
  std::string best;
  int best_distance = allowed_distance(word) + 1;
  for (const KeyInfo& k : keys_) {
    if (parent_of(k.path) != parent) continue;
    const int d = edit_distance(lower(word), lower(last_of(k.path)));
    if (d < best_distance) {
      best = k.path;
      best_distance = d;
    }
  }
  for (const auto& [alias, name] : aliases_) {
    if (parent_of(alias) != parent) continue;
    const int d = edit_distance(lower(word), last_of(alias));
    if (d < best_distance) {
      best = alias;
      best_distance = d;
    }
  }
  if (!best.empty()) return best;
  std::vector<std::string> all;
  for (const KeyInfo& k : keys_) all.push_back(k.path);
  return nearest(path, all);
}

void canonicalise(Node& root, const Schema& schema) { canonicalise_map(root, "", schema); }

std::string detail::SchemaVisitor::flow_text(const Node& n) { return to_flow(n); }

std::string detail::SchemaVisitor::plural(const std::string& s) {
  if (s == "text") return "texts";
  if (s == "block") return "blocks";
  if (starts_with(s, "list of ")) return "lists of " + s.substr(8);
  return s + "s";
}

}  // namespace ups::config
