#include "ups/stages/barrier_loss.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::stages {
namespace {

constexpr int64_t kWorst = 8;  // samples of reduce: topk

const std::vector<std::string> kTypes{"minimize_soft", "minimize_hard", "upper", "lower", "box", "box_asymmetric"};

BarrierGoal parse_goal(const std::string& term, const nlohmann::json& j, const std::string& where) {
  BarrierGoal goal;
  goal.term = goal.group = term;
  if (!j.is_object()) throw usage_error(where, "must be a map with a type", "for example {type: minimize_soft, group: recon}");
  const auto number = [&](const nlohmann::json& value, const std::string& field) {
    if (!value.is_number()) throw usage_error(where + "." + field, "must be a number, found " + value.dump());
    return value.get<double>();
  };
  for (const auto& [field, value] : j.items()) {
    if (field == "type") {
      const auto it = std::find(kTypes.begin(), kTypes.end(), value.is_string() ? value.get<std::string>() : "");
      if (it == kTypes.end()) throw usage_error(where + ".type", "unknown goal type " + value.dump(), "choose from " + join(kTypes, ", "));
      goal.type = static_cast<BarrierGoal::Type>(it - kTypes.begin());
    } else if (field == "group") {
      if (!value.is_string()) throw usage_error(where + ".group", "must be a name, found " + value.dump());
      goal.group = value.get<std::string>();
    } else if (field == "scale") {
      if (value != "auto") goal.scale = number(value, field);
      if (goal.scale && !(*goal.scale > 0)) throw usage_error(where + ".scale", "must be above 0, found " + value.dump(), "or auto");
    } else if (field == "low" || field == "high" || field == "healthy") {
      (field == "low" ? goal.low : field == "high" ? goal.high : goal.healthy) = number(value, field);
    } else {
      throw usage_error(where + "." + field, "unknown key", "known: type, group, scale, low, high, healthy");
    }
  }
  using Type = BarrierGoal::Type;
  const auto need = [&](const char* field) {
    if (!j.contains(field)) throw usage_error(where, "a goal of this type needs " + std::string(field), "add it");
  };
  const bool box = goal.type == Type::box || goal.type == Type::box_asymmetric;
  if (box || goal.type == Type::lower) need("low");
  if (box || goal.type == Type::upper) need("high");
  if (box && !(goal.low < goal.high)) throw usage_error(where, "low must be below high", "exchange them");
  if (goal.type == Type::box_asymmetric) {
    need("healthy");
    if (!(goal.low < goal.healthy && goal.healthy < goal.high)) throw usage_error(where + ".healthy", "must lie between low and high");
  }
  return goal;
}

}  // namespace

std::vector<BarrierGoal> parse_goals(const std::string& json, const std::string& key, const std::vector<std::string>& available) {
  const auto j = nlohmann::json::parse(json, nullptr, false);
  if (!j.is_object() || j.empty()) throw usage_error(key, "must be a map from loss terms to goals", "terms: " + join(available, ", "));
  std::vector<BarrierGoal> goals;
  for (const auto& [term, value] : j.items()) {
    if (std::find(available.begin(), available.end(), term) == available.end())
      throw usage_error(key + "." + term, "this autoencoder has no such loss term", "terms: " + join(available, ", "));
    goals.push_back(parse_goal(term, value, key + "." + term));
  }
  return goals;
}

BarrierLoss::BarrierLoss(std::vector<BarrierGoal> goals, std::string reduce, at::Device device)
    : goals_(std::move(goals)), reduce_(std::move(reduce)), largest_(at::zeros({static_cast<int64_t>(goals_.size())}, at::TensorOptions().device(device))) {
  assert(!goals_.empty());
}

at::Tensor BarrierLoss::cost(size_t index, const at::Tensor& x) const {
  using Type = BarrierGoal::Type;
  const BarrierGoal& g = goals_[index];
  const at::Tensor scale = g.scale ? at::full({}, *g.scale, x.options()) : (kScaleMargin * largest_.select(0, static_cast<int64_t>(index))).clamp_min(1e-12);
  // d = 0 at the best place, 1 at the end of the box.
  const auto boxed = [](const at::Tensor& d) {
    const at::Tensor inside = -at::log(kBoxFloor + (1 - kBoxFloor) * (1 - d.clamp_max(1)));
    return at::where(d <= 1, inside, -std::log(kBoxFloor) + 2 * (d - 1));
  };
  switch (g.type) {
    case Type::minimize_soft: return x / scale;
    case Type::minimize_hard: return at::log1p((x / scale).square());
    case Type::upper: return at::relu(x - g.high) / scale;
    case Type::lower: return at::relu(g.low - x) / scale;
    case Type::box: return boxed((x - (g.low + g.high) / 2).abs() / ((g.high - g.low) / 2));
    default: return boxed(at::where(x < g.healthy, (g.healthy - x) / (g.healthy - g.low), (x - g.healthy) / (g.high - g.healthy)));
  }
}

at::Tensor BarrierLoss::operator()(const LossTerms& terms, bool calibrate) {
  std::map<std::string, std::vector<at::Tensor>> groups;
  std::vector<at::Tensor> values;
  for (const BarrierGoal& g : goals_)
    values.push_back(std::find_if(terms.begin(), terms.end(), [&](const auto& t) { return t.first == g.term; })->second);
  if (calibrate) {
    const at::NoGradGuard no_grad;
    std::vector<at::Tensor> most;
    for (const auto& v : values) most.push_back(v.detach().abs().amax().to(at::kFloat));
    const at::Tensor now = at::stack(most);
    largest_.copy_(at::where(at::isfinite(now), at::maximum(largest_, now), largest_));
  }
  for (size_t i = 0; i < goals_.size(); ++i) groups[goals_[i].group].push_back(cost(i, values[i]));
  std::vector<at::Tensor> costs;
  groups_.clear();
  for (const auto& [name, members] : groups) {
    costs.push_back(at::stack(members).mean(0));
    groups_.emplace_back("group_" + name, costs.back().mean().detach());
  }
  const at::Tensor worst = at::stack(costs).amax(0);  // [B]
  if (reduce_ == "global_min") return worst.amax();
  if (reduce_ == "topk") return std::get<0>(worst.topk(std::min(kWorst, worst.size(0)))).mean();
  return worst.mean();
}

}  // namespace ups::stages
