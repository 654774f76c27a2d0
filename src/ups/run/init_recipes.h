// Complete, commented configurations for `ups-train init`.
#pragma once
#include <string>
#include <vector>

namespace ups::run {

const std::vector<std::string>& recipe_names();       // burgers (the default), advection, ks, darcy, diffreact
std::string recipe_text(const std::string& name);     // throws exit 2 for unknown names

}  // namespace ups::run
