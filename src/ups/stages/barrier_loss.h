// Barrier loss ("logarithmic bottleneck"): every term of a loss becomes a score in (0, 1], terms of a group are combined by their
// geometric mean, and the loss is -log of the worst group:
//
//   loss = reduce over samples of max over groups of mean over the group's goals of -log s(x)
//   minimize_soft  exp(-x / scale)                 minimize_hard  1 / (1 + (x / scale)^2)
//   upper, lower   1 inside the bound, exp(-excess / scale) beyond
//   box            1 - |x - middle| / half         box_asymmetric linear from both ends to 1 at `healthy`
// Boxes fall to kBoxFloor at their ends and exponentially beyond, so that a sample outside still has a gradient that leads inside.
// Balances objectives without weights (a minimax scalarisation); its gradient comes from few samples and one group each.
#pragma once
#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ups::stages {

using LossTerms = std::vector<std::pair<std::string, at::Tensor>>;  // name, [B]

struct BarrierGoal {
  enum class Type { minimize_soft, minimize_hard, upper, lower, box, box_asymmetric };
  std::string term, group;
  Type type = Type::minimize_soft;
  std::optional<double> scale;  // unset: 1.1 x the largest value seen while calibrating
  double low = 0, high = 1, healthy = 0.5;
};

// JSON: {term: {type: .., group: .., scale: auto | number, low: .., high: .., healthy: ..}}. Exit 2 naming `key` for unknown types and
// fields, missing bounds, and terms that are not in `available`.
std::vector<BarrierGoal> parse_goals(const std::string& json, const std::string& key, const std::vector<std::string>& available);

class BarrierLoss {
 public:
  static constexpr double kBoxFloor = 1e-3;
  static constexpr double kScaleMargin = 1.1;
  // reduce: per_sample_mean | global_min | topk (mean of the 8 worst samples).
  BarrierLoss(std::vector<BarrierGoal> goals, std::string reduce, at::Device device);
  // The loss, 0-dim. calibrate: values may raise the automatic scales (values that are not finite do not). Without host reads.
  at::Tensor operator()(const LossTerms& terms, bool calibrate);
  // -log score of the groups of the last call, mean over samples, detached.
  const std::vector<std::pair<std::string, at::Tensor>>& groups() const { return groups_; }
  const at::Tensor& largest() const { return largest_; }  // [goals], state to keep

 private:
  at::Tensor cost(size_t goal, const at::Tensor& x) const;  // -log score
  std::vector<BarrierGoal> goals_;
  std::string reduce_;
  at::Tensor largest_;
  std::vector<std::pair<std::string, at::Tensor>> groups_;
};

}  // namespace ups::stages
