#include <string>

#include "ups/config/writer.h"
#include "ups/config/yaml.h"

namespace ups::config {

// JSON is flow YAML, and the text was written by to_json().
Node node_of_free_form(const std::string& json) {
  return parse_flow(json, std::make_shared<Source>(Source{"free-form text", 0, false}));
}

}  // namespace ups::config
