// Texts generated from the option structs.
#pragma once
#include <string>

namespace ups::run {

std::string schema_text();       // one line per key
std::string schema_json();       // a JSON array of {path, type, default, range, choices, aliases, status, doc, advice}
std::string config_reference();  // docs/reference/config.md; a test compares the committed file with it

}  // namespace ups::run
