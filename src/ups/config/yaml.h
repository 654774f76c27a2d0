// Guarded YAML: one document, plain maps, lists and scalars. Refused with line and column: anchors, aliases, merge keys, tags,
// duplicate keys, a second document, control characters, invalid UTF-8, and anything beyond the limits (reliability.md 10).
#pragma once
#include <memory>
#include <string_view>

#include "ups/config/node.h"

namespace ups::config {

struct YamlLimits {
  size_t bytes = 1u << 20;
  size_t nodes = 100'000;
  size_t scalar_bytes = 64u << 10;
  size_t keys_per_map = 10'000;
  int depth = 32;
};

// The top level must be a map (an empty text is an empty map). Throws ups::Error, exit 2.
Node parse_yaml(std::string_view text, std::shared_ptr<const Source> source, const YamlLimits& limits = {});

// One value in flow syntax, as after `--set a.b=`: 3, text, [1, 2], {a: 1}; empty is null.
Node parse_flow(std::string_view text, std::shared_ptr<const Source> source, const YamlLimits& limits = {});

}  // namespace ups::config
