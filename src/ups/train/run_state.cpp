#include "ups/train/run_state.h"

#include <cmath>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"

namespace ups::train {
namespace {

// Fields that states written before they existed may lack.
bool may_be_absent(const std::string& name) {
  return name == "rollbacks" || name == "rollbacks_in_a_row" || name == "slow_until" || name == "loss_average";
}

}  // namespace

std::string RunState::json() const {
  nlohmann::json j = nlohmann::json::object();
  visit(*this, [&](const char* name, const auto& value) { j[name] = value; });
  return j.dump();
}

RunState RunState::from_json(const std::string& text, const std::string& where) {
  RunState s;
  try {
    const auto j = nlohmann::json::parse(text);
    size_t known = 0;
    visit(s, [&](const char* name, auto& value) {
      if (may_be_absent(name) && !j.contains(name)) return;
      j.at(name).get_to(value);
      ++known;
    });
    if (known != j.size()) throw checkpoint_error(where, "unknown fields in the saved state", "use the version that wrote it");
  } catch (const nlohmann::json::exception& e) {
    throw checkpoint_error(where, std::string("saved state is not readable: ") + e.what(), "use another checkpoint");
  }
  return s;
}

}  // namespace ups::train
