#include "ups/run/evaluation.h"

#include "ups/core/text.h"

namespace ups::run {

const ModelScores* SetScores::find(const std::string& name) const {
  for (const ModelScores& m : models) {
    if (m.name == name) return &m;
  }
  return nullptr;
}

std::vector<int64_t> conserved_channels(const data::SetInfo& info) {
  std::vector<int64_t> all;
  for (int64_t c = 0; c < info.channels; ++c) all.push_back(c);
  if (info.steady || starts_with(info.family, "diffreact") || starts_with(info.family, "reacdiff") ||
      starts_with(info.family, "diffsorp")) {
    return {};  // sources, or nothing that evolves
  }
  if (starts_with(info.family, "cfd")) return {0};  // density; pressure and velocities are not densities of anything conserved
  return all;
}

}  // namespace ups::run
