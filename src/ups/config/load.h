// Files to one tree: include and defaults, merging in order, --set and --unset, ${env:NAME}.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ups/config/node.h"
#include "ups/config/reader.h"

namespace ups::config {

struct LoadOptions {
  std::vector<std::string> allow_include;  // folders that includes may read besides the top file's own
  bool allow_env = false;
  // Called for each file's tree before it is merged: aliases, moved keys.
  std::function<void(Node&)> prepare;
};

// Collects sources in order, so that errors sort.
class Loader {
 public:
  Loader(LoadOptions options, Findings& findings) : options_(std::move(options)), findings_(findings) {}
  // Lays the file (with its includes under it) over `root`. Throws on the first syntax error.
  void add_file(Node& root, const std::string& path);
  void add_text(Node& root, const std::string& text, const std::string& name);
  // "a.b=v" with v in flow syntax; "a.b".
  void set(Node& root, const std::string& assignment, const std::string& place_name);
  void unset(Node& root, const std::string& dotted, const std::string& place_name);
  // One plain value from elsewhere ("--epochs", "environment PDEBENCH_ROOT").
  void put(Node& root, const std::string& dotted, Node value, const std::string& place_name);

 private:
  struct Chain;
  Node load(const std::string& path, Chain& chain);
  void take_includes(Node& node, const std::string& path, Chain& chain, Node& base);
  Node read_one(const std::string& path, const std::string& text);
  std::shared_ptr<const Source> source(const std::string& name, bool is_file);
  void interpolate(Node& node);

  LoadOptions options_;
  Findings& findings_;
  int order_ = 0, files_ = 0;
};

}  // namespace ups::config
