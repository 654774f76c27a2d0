#include "ups/optim/muon_small.h"

#include <cassert>

#include "ups/optim/muon_backend.h"

namespace ups::optim::small {

Settings settings_of(const MuonOptions& options) {
  const auto& steps = options.schedule.steps;
  assert(steps.size() <= static_cast<size_t>(kMaxSteps));
  Settings s;
  s.lr = static_cast<float>(options.lr);
  s.weight_decay = static_cast<float>(options.weight_decay);
  s.beta = static_cast<float>(options.beta);
  s.nesterov = options.nesterov ? 1 : 0;
  s.steps = static_cast<int>(steps.size());
  for (size_t i = 0; i < steps.size(); ++i)
    for (size_t k = 0; k < 3; ++k) s.coefficients[i][k] = static_cast<float>(steps[i][k]);
  s.norm_scale = static_cast<float>(options.schedule.norm_scale);
  const auto guard = static_cast<float>(norm_divisor(0, options.schedule, options.eps));
  if (options.eps == EpsMode::kj) s.norm_add = guard;
  if (options.eps == EpsMode::clamp) s.norm_floor = guard;
  return s;
}

}  // namespace ups::optim::small
