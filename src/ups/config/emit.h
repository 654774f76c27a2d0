// Text of a tree: block YAML that parse_yaml reads back, and JSON.
#pragma once
#include <string>

#include "ups/config/node.h"

namespace ups::config {

std::string to_yaml(const Node& root);
// sorted: keys in byte order and no whitespace, the form that is hashed.
std::string to_json(const Node& root, bool sorted = false);
// One line, for messages and tables: 16, "text", [1, 2], {a: 1}.
std::string to_flow(const Node& node);
// A scalar as YAML would need it: plain if it reads back as text, else double-quoted.
std::string yaml_string(const std::string& text);

}  // namespace ups::config
