// What a candidate step costs physically, and how costs become comparable. Definitions: docs/metrics.md. Free of LibTorch.
#pragma once
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/metrics/pde_residual.h"
#include "ups/run/ttc_options.h"

namespace ups::run {

// Terms of a step before -> after of one trajectory, fields [C, cells] in physical units; larger is worse, infinite for a field that is
// not finite. All are relative to the root mean square of `before`.
struct TtcReward {
  using Cost = std::function<void(std::span<const float> before, std::span<const float> after, int64_t trajectory, std::span<double> terms)>;
  std::vector<std::string> names;
  std::vector<double> weights;
  std::optional<size_t> residual;  // which term is the equation's
  Cost cost;
};

// The terms with a weight above 0. parameters(trajectory): values in the order of info.param_names. Exit 2: a named channel that the set
// does not have, or nothing to score with.
TtcReward physical_reward(const TtcRewardOptions& options, const data::SetInfo& info, std::function<std::vector<double>(int64_t)> parameters);

// Residual of a set's equation; null when it is not known: other families, several channels or axes, not periodic, no parameter.
std::unique_ptr<metrics::StepResidual> set_residual(const data::SetInfo& info, const std::string& scheme);
// Place of its parameter in info.param_names; their number when it has none.
size_t residual_parameter_index(const data::SetInfo& info);

// costs [K][terms] of the candidates of one sample -> rewards [K] = -sum_j w_j (cost_j - mean_j) / max(std_j, floor). A term that differs by less
// than the floor says little, and counts less. Candidates that are not finite get -infinity and do not enter mean and std.
std::vector<double> standardised_rewards(const std::vector<std::vector<double>>& costs, const std::vector<double>& weights, double floor);
// That floor: a tenth of the candidates' [K, cells] RMS distance to their mean, relative to the field (at most 1), and never below 1e-6, fp32's
// rounding. A mass error of a hundredth of what the candidates differ by is none.
double reward_floor(std::span<const float> before, std::span<const float> candidates);

}  // namespace ups::run
