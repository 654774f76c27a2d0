#include "ups/config/load.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "ups/config/yaml.h"
#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::config {
namespace fs = std::filesystem;
namespace {

constexpr int kMaxDepth = 8, kMaxFiles = 32;

std::string slurp(const std::string& path, const std::string& place) {
  struct stat info{};
  if (::stat(path.c_str(), &info) != 0)
    throw usage_error(place, "cannot open '" + path + "': " + std::strerror(errno), "check the path");
  if (!S_ISREG(info.st_mode)) throw usage_error(place, "'" + path + "' is not a regular file", "");
  std::ifstream in(path, std::ios::binary);
  if (!in) throw usage_error(place, "cannot open '" + path + "': " + std::strerror(errno), "check the permissions");
  std::string text(YamlLimits{}.bytes + 1, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(in.gcount()));
  return text;
}

bool is_under(const fs::path& file, const fs::path& folder) {
  const auto [end, nothing] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  (void)nothing;
  return end == folder.end() || (std::next(end) == folder.end() && end->empty());
}

// "include: a.yaml" or "include: [a, b]".
std::vector<const Node*> names_in(const Node& n, const char* key) {
  std::vector<const Node*> out;
  if (n.is_null()) return out;
  if (n.is_scalar()) return {&n};
  if (n.is_list()) {
    for (const Node& item : n.items) {
      if (!item.is_scalar()) throw usage_error(item.place.text(), std::string(key) + " must list file names");
      out.push_back(&item);
    }
    return out;
  }
  throw usage_error(n.place.text(), std::string(key) + " must be a file name or a list of them");
}

}  // namespace

struct Loader::Chain {
  fs::path root;                                    // real folder of the top file
  std::vector<std::pair<dev_t, ino_t>> identities;  // of the files being read
  std::vector<std::string> names;
};

std::shared_ptr<const Source> Loader::source(const std::string& name, bool is_file) {
  auto s = std::make_shared<Source>();
  s->name = name;
  s->order = order_++;
  s->is_file = is_file;
  return s;
}

Node Loader::read_one(const std::string& path, const std::string& text) {
  Node node = parse_yaml(text, source(path, true));
  interpolate(node);
  return node;
}

void Loader::take_includes(Node& node, const std::string& path, Chain& chain, Node& base) {
  std::vector<Node> lists;
  if (const Entry* e = node.find("include")) lists.push_back(e->value);
  if (const Entry* e = node.find("defaults")) {
    findings_.notice(e->place, "'defaults' is read as 'include'");
    lists.push_back(e->value);
  }
  node.erase("include");
  node.erase("defaults");
  for (const Node& list : lists) {
    for (const Node* name : names_in(list, "include")) {
      const fs::path folder = fs::path(path).parent_path();
      fs::path file = folder / name->text;
      std::error_code ignored;
      if (!fs::exists(file, ignored) && !ends_with(name->text, ".yaml")) file += ".yaml";
      const std::string place = name->place.text();
      const fs::path real = fs::canonical(file, ignored);
      if (ignored)
        throw usage_error(place, "included file '" + file.string() + "' does not exist",
                          "includes are relative to the including file");
      bool allowed = is_under(real, chain.root);
      for (const auto& extra : options_.allow_include) {
        const fs::path dir = fs::canonical(extra, ignored);
        allowed = allowed || (!ignored && is_under(real, dir));
      }
      if (!allowed) {
        throw usage_error(place, "include '" + name->text + "' leaves the folder of the top configuration",
                          "--allow-include " + real.parent_path().string());
      }
      Node included;
      try {
        included = load(file.lexically_normal().string(), chain);
      } catch (const Error& e) {
        if (e.place().empty()) throw usage_error(place, e.message(), e.hint());
        throw;
      }
      merge(base, std::move(included));
    }
  }
}

Node Loader::load(const std::string& path, Chain& chain) {
  const std::string text = slurp(path, chain.names.empty() ? "--config" : "");
  struct stat info{};
  ::stat(path.c_str(), &info);
  const auto identity = std::make_pair(info.st_dev, info.st_ino);
  const auto shown = [&] {
    auto names = chain.names;
    names.push_back(path);
    return join(names, " -> ");
  };
  if (std::find(chain.identities.begin(), chain.identities.end(), identity) != chain.identities.end())
    throw usage_error("", "include cycle", shown());
  if (static_cast<int>(chain.names.size()) >= kMaxDepth)
    throw usage_error("", "includes nested deeper than " + std::to_string(kMaxDepth), shown());
  if (++files_ > kMaxFiles) throw usage_error("", "more than " + std::to_string(kMaxFiles) + " configuration files", shown());
  chain.identities.push_back(identity);
  chain.names.push_back(path);
  Node node = read_one(path, text);
  Node base = Node::map();
  base.place = node.place;
  take_includes(node, path, chain, base);
  if (options_.prepare) options_.prepare(node);
  merge(base, std::move(node));
  chain.identities.pop_back();
  chain.names.pop_back();
  return base;
}

void Loader::add_file(Node& root, const std::string& path) {
  std::error_code error;
  Chain chain;
  const fs::path real = fs::canonical(path, error);
  chain.root = error ? fs::path(".") : real.parent_path();
  merge(root, load(path, chain));
}

void Loader::add_text(Node& root, const std::string& text, const std::string& name) {
  Node node = read_one(name, text);
  for (const char* key : {"include", "defaults"}) {
    if (const Entry* e = node.find(key)) throw usage_error(e->place.text(), std::string("'") + key + "' is not allowed here");
  }
  if (options_.prepare) options_.prepare(node);
  merge(root, std::move(node));
}

void Loader::put(Node& root, const std::string& dotted, Node value, const std::string& place_name) {
  const Place place{source(place_name, false), 0, 0};
  const auto parts = split(dotted, '.');
  // A tree of its own goes through `prepare` like a file, so that aliases and moved keys work here too.
  Node tree = Node::map();
  tree.place = place;
  Node* node = &tree;
  for (size_t i = 0; i < parts.size(); ++i) {
    if (parts[i].empty()) throw usage_error(place_name, "cannot read the key '" + dotted + "'", "write a.b=value");
    Node next = i + 1 == parts.size() ? std::move(value) : Node::map();
    next.place = place;
    node->set(parts[i], std::move(next));
    node = &node->entries.back().value;
  }
  if (options_.prepare) options_.prepare(tree);
  merge(root, std::move(tree));
}

void Loader::set(Node& root, const std::string& assignment, const std::string& place_name) {
  const size_t eq = assignment.find('=');
  if (eq == std::string::npos || eq == 0)
    throw usage_error(place_name, "'" + clip_text(assignment, 80) + "' has no '='", "write a.b=value");
  Node value =
      parse_flow(std::string_view(assignment).substr(eq + 1), std::make_shared<Source>(Source{place_name, order_, false}));
  interpolate(value);
  // Places inside the value must not claim lines and columns.
  const std::shared_ptr<const Source> s = source(place_name, false);
  const std::function<void(Node&)> stamp = [&](Node& n) {
    n.place = {s, 0, 0};
    for (Node& item : n.items) stamp(item);
    for (Entry& e : n.entries) {
      e.place = {s, 0, 0};
      stamp(e.value);
    }
  };
  stamp(value);
  put(root, assignment.substr(0, eq), std::move(value), place_name);
}

void Loader::unset(Node& root, const std::string& dotted, const std::string& place_name) {
  if (findings_.ok() && dotted.find('=') != std::string::npos)
    throw usage_error(place_name, "'" + clip_text(dotted, 80) + "' holds '='", "--unset takes a key only");
  const size_t dot = dotted.rfind('.');
  if (dot == std::string::npos) {
    root.erase(dotted);
    return;
  }
  if (Node* parent = const_cast<Node*>(root.at(dotted.substr(0, dot)))) parent->erase(dotted.substr(dot + 1));
}

void Loader::interpolate(Node& node) {
  for (Node& item : node.items) interpolate(item);
  for (Entry& e : node.entries) interpolate(e.value);
  if (!node.is_scalar()) return;
  size_t at = node.text.find("${");
  if (at == std::string::npos) return;
  const std::string written = node.text;
  while ((at = node.text.find("${", at)) != std::string::npos) {
    const size_t end = node.text.find('}', at);
    const std::string inside = end == std::string::npos ? "" : node.text.substr(at + 2, end - at - 2);
    if (!starts_with(inside, "env:") || inside.size() == 4)
      throw usage_error(node.place.text(), "cannot read '" + clip_text(written, 60) + "'", "only ${env:NAME} is known");
    const std::string name = inside.substr(4);
    if (!options_.allow_env) throw usage_error(node.place.text(), "${env:" + name + "} needs permission", "add --allow-env");
    const char* value = std::getenv(name.c_str());
    if (value == nullptr) throw usage_error(node.place.text(), "the environment has no '" + name + "'", "");
    if (!is_valid_utf8(value) || escape_text(value) != value || std::strlen(value) > (64u << 10))
      throw usage_error(node.place.text(), "the value of '" + name + "' is not plain text", "");
    const std::string_view text(value);
    node.text.replace(at, end - at + 1, text);
    at += text.size();
  }
  node.redacted = written;
}

}  // namespace ups::config
