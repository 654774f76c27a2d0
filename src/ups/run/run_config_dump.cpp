#include <algorithm>
#include <set>

#include "ups/config/emit.h"
#include "ups/config/writer.h"
#include "ups/config/yaml.h"
#include "ups/core/error.h"
#include "ups/core/hash.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {

using config::Entry;
using config::Node;

namespace {

std::string below(const std::string& path, const std::string& key) { return path.empty() ? key : path + "." + key; }

// Leaves out keys without effect that nobody set, and absent optional blocks: a dump that is loaded again must not print notices.
void prune(Node& node, const std::string& path) {
  std::vector<Entry> kept;
  for (Entry& e : node.entries) {
    const std::string p = below(path, e.key);
    const config::KeyInfo* key = run_schema().find(p);
    if (key != nullptr) {
      if (key->is_block && e.value.is_null()) continue;
      if (!key->is_block && key->info.status != KeyStatus::honoured && config::to_flow(e.value) == key->default_text) continue;
    }
    if (e.value.is_map() && key != nullptr && key->is_block) {
      prune(e.value, p);
      if (e.value.entries.empty()) continue;
    }
    kept.push_back(std::move(e));
  }
  node.entries = std::move(kept);
}

void redact(Node& node, const std::string& path, const std::map<std::string, std::string>& redacted) {
  const auto it = redacted.find(path);
  if (it != redacted.end() && node.is_scalar()) node = Node::string(it->second);
  for (Entry& e : node.entries) redact(e.value, below(path, e.key), redacted);
  for (size_t i = 0; i < node.items.size(); ++i) redact(node.items[i], path + "[" + std::to_string(i) + "]", redacted);
}

Node tree_of(const LoadedConfig& loaded) {
  Node tree = *config::node_of(loaded.config);
  redact(tree, "", loaded.redacted);
  prune(tree, "");
  return tree;
}

// Keeps what was given and differs from the defaults; inside optional blocks everything that was given.
void keep_differences(Node& node, const std::string& path, const Origins& origins, bool in_optional = false) {
  std::vector<Entry> kept;
  for (Entry& e : node.entries) {
    const std::string p = below(path, e.key);
    const config::KeyInfo* key = run_schema().find(p);
    if (key != nullptr && key->is_block) {
      const bool optional = key->nullable;
      keep_differences(e.value, p, origins, in_optional || optional);
      if (e.value.entries.empty() && !optional) continue;
    } else if (key != nullptr && (origins.count(p) == 0 || (!in_optional && config::to_flow(e.value) == key->default_text))) {
      continue;
    }
    kept.push_back(std::move(e));
  }
  node.entries = std::move(kept);
}

void flatten(const Node& node, const std::string& path, std::map<std::string, std::string>& out) {
  if (node.is_map() && !node.entries.empty()) {
    for (const Entry& e : node.entries) flatten(e.value, below(path, e.key), out);
    return;
  }
  out[path] = config::to_flow(node);
}

// Keys whose change does not alter what a step computes, or that a resume may extend.
bool is_resumable(const std::string& path) {
  static const std::set<std::string> whole = {"threads",
                                              "training.patience",
                                              "training.device",
                                              "training.compile",
                                              "training.compile_warmup",
                                              "training.num_workers",
                                              "training.prefetch_factor",
                                              "training.pin_memory",
                                              "training.log_path",
                                              "training.checkpoint_interval",
                                              "data.memory_budget",
                                              "data.cache"};
  if (whole.count(path) > 0) return true;
  for (const char* prefix : {"logging.", "checkpoint.", "evaluation.", "ttc.", "run.", "notes"}) {
    if (starts_with(path, prefix)) return true;
  }
  return starts_with(path, "stages.") && (ends_with(path, ".epochs") || ends_with(path, ".patience")) &&
         split(path, '.').size() == 3;
}

}  // namespace

std::string LoadedConfig::yaml() const { return config::to_yaml(tree_of(*this)); }
std::string LoadedConfig::json() const { return config::to_json(tree_of(*this)); }

std::string LoadedConfig::minimal_yaml() const {
  Node tree = tree_of(*this);
  keep_differences(tree, "", origins);
  return config::to_yaml(tree);
}

std::string LoadedConfig::origins_json() const {
  std::map<std::string, std::string> values;
  flatten(tree_of(*this), "", values);
  Node out = Node::map();
  for (const auto& [path, value] : values) {
    (void)value;
    // A value inside a free-form or map key has the origin of that key.
    std::string key = path;
    auto it = origins.find(key);
    while (it == origins.end() && key.find('.') != std::string::npos) {
      key = key.substr(0, key.rfind('.'));
      it = origins.find(key);
    }
    out.set(path, Node::string(it == origins.end() ? "default" : it->second));
  }
  std::string text = "{\n";
  for (size_t i = 0; i < out.entries.size(); ++i) {
    Node one = Node::map();
    one.set(out.entries[i].key, out.entries[i].value);
    const std::string pair = config::to_json(one);
    text += "  " + pair.substr(1, pair.size() - 2) + (i + 1 < out.entries.size() ? ",\n" : "\n");
  }
  return text + "}\n";
}

std::string config_hash(const LoadedConfig& loaded) { return hash128_hex(config::to_json(tree_of(loaded), true)); }

ConfigChanges compare_configs(const std::string& old_json, const std::string& new_json) {
  const auto read = [](const std::string& text) {
    std::map<std::string, std::string> out;
    flatten(config::parse_yaml(text, std::make_shared<config::Source>(config::Source{"config", 0, true})), "", out);
    return out;
  };
  const auto before = read(old_json), after = read(new_json);
  std::set<std::string> paths;
  for (const auto& [path, value] : before) paths.insert(path);
  for (const auto& [path, value] : after) paths.insert(path);
  ConfigChanges out;
  for (const auto& path : paths) {
    const auto a = before.find(path), b = after.find(path);
    const std::string x = a == before.end() ? "absent" : a->second, y = b == after.end() ? "absent" : b->second;
    if (x == y) continue;
    (is_resumable(path) ? out.resumable : out.other).push_back(path + ": " + x + " -> " + y);
  }
  return out;
}

}  // namespace ups::run
