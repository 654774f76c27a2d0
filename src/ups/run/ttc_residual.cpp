#include <algorithm>
#include <bit>
#include <cmath>

#include "ups/data/generators/ks1d.h"
#include "ups/run/ttc_reward.h"

namespace ups::run {
namespace {

constexpr double kCoarseStep = 0.25;  // of the Kuramoto-Sivashinsky solver: error below 1e-4 of the field over one time unit

// Distance of the second frame to the first one stepped on by the generator's own scheme with coarse steps.
class SolverResidual : public metrics::StepResidual {
 public:
  SolverResidual(const metrics::StepGrid& grid)
      : steps_(static_cast<int64_t>(std::ceil(grid.dt / kCoarseStep - 1e-9))),
        flow_(static_cast<size_t>(grid.points), grid.length, grid.dt / static_cast<double>(steps_), data::Ks1d::symbol),
        two_point_(metrics::kuramoto_residual(grid, 4)) {}

  std::vector<double> defect(std::span<const float> before, std::span<const float> after, double) override {
    if (!std::equal(before.begin(), before.end(), before_.begin(), before_.end())) step(before);  // candidates of a sample share it
    std::vector<double> out(after.begin(), after.end());
    for (size_t i = 0; i < out.size(); ++i) out[i] -= next_[i];
    return out;
  }
  double energy_growth(std::span<const float> before, std::span<const float> after) override { return two_point_->energy_growth(before, after); }

 private:
  void step(std::span<const float> before) {
    before_.assign(before.begin(), before.end());
    data::LaneArray points(before.size());
    for (size_t i = 0; i < before.size(); ++i) points.at(i)[0] = before[i];
    data::FlowState state = data::to_modes(points, flow_.cutoff());
    flow_.step(state, steps_);
    const data::LaneArray end = data::to_points(state, before.size());
    next_.resize(before.size());
    for (size_t i = 0; i < next_.size(); ++i) next_[i] = end.at(i)[0];
  }
  int64_t steps_;
  data::PeriodicFlow flow_;
  std::unique_ptr<metrics::StepResidual> two_point_;
  std::vector<float> before_;
  std::vector<double> next_;
};

}  // namespace

size_t residual_parameter_index(const data::SetInfo& info) {
  const auto at = std::find(info.param_names.begin(), info.param_names.end(), metrics::residual_parameter(info.family));
  return static_cast<size_t>(at - info.param_names.begin());
}

std::unique_ptr<metrics::StepResidual> set_residual(const data::SetInfo& info, const std::string& scheme) {
  const std::string parameter = metrics::residual_parameter(info.family);
  if (info.grid.size() != 1 || info.channels != 1 || !info.periodic(0) || info.length.empty() || !(info.dt > 0)) return nullptr;
  if (!parameter.empty() && residual_parameter_index(info) == info.param_names.size()) return nullptr;
  const metrics::StepGrid grid{info.grid[0], info.length[0], info.dt};
  if (info.family == "ks1d" && scheme == "solver" && std::has_single_bit(static_cast<uint64_t>(grid.points))) return std::make_unique<SolverResidual>(grid);
  return metrics::step_residual(info.family, grid, scheme == "crank_nicolson" ? 2 : scheme == "obreshkov6" ? 6 : 4);
}

}  // namespace ups::run
