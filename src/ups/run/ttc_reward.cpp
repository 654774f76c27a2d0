#include "ups/run/ttc_reward.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "ups/core/error.h"
#include "ups/data/generators/ks1d.h"
#include "ups/run/evaluation.h"

namespace ups::run {
namespace {

constexpr double kRounding = 1e-6;    // of fp32 fields, relative
constexpr double kNegligible = 0.1;   // of the candidates' differences
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

double mean_of(std::span<const float> field) { return std::accumulate(field.begin(), field.end(), 0.0) / static_cast<double>(field.size()); }
double mean_square(std::span<const float> field) {
  double sum = 0;
  for (float v : field) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum / static_cast<double>(field.size());
}

size_t parameter_index(const data::SetInfo& info, const std::string& name) {
  return static_cast<size_t>(std::find(info.param_names.begin(), info.param_names.end(), name) - info.param_names.begin());
}

std::vector<int64_t> channels_of(const data::SetInfo& info, const std::vector<std::string>& names, const std::string& key) {
  std::vector<int64_t> out;
  for (const std::string& name : names) {
    const auto at = std::find(info.channel_names.begin(), info.channel_names.end(), name);
    if (at == info.channel_names.end())
      throw usage_error(key, fmt::format("the set {} has no channel '{}'", info.name, name), fmt::format("channels: {}", fmt::join(info.channel_names, ", ")));
    out.push_back(at - info.channel_names.begin());
  }
  return out;
}

// The terms themselves; one object per reward.
class Terms {
 public:
  Terms(const TtcRewardOptions& o, const data::SetInfo& info, std::function<std::vector<double>(int64_t)> parameters)
      : info_(info), parameters_(std::move(parameters)), residual_(o.weights.residual > 0 ? set_residual(info, o.scheme) : nullptr) {
    const auto one = [](const std::optional<std::string>& name) { return name ? std::vector<std::string>{*name} : std::vector<std::string>{}; };
    mass_ = o.mass_field ? channels_of(info, one(o.mass_field), "ttc.reward.mass_field") : conserved_channels(info);
    momentum_ = channels_of(info, o.momentum_field, "ttc.reward.momentum_field");
    energy_ = channels_of(info, o.energy_field ? one(o.energy_field) : info.channel_names, "ttc.reward.energy_field");
    parameter_ = parameter_index(info, metrics::residual_parameter(info.family));
  }

  using Term = double (Terms::*)(std::span<const float>, std::span<const float>, int64_t, double);
  struct Entry {
    const char* name;
    double weight;
    bool present;
    Term term;
  };
  std::vector<Entry> entries(const TtcWeightsOptions& w) const {
    return {{"residual", w.residual, residual_ != nullptr, &Terms::residual}, {"mass", w.mass, !mass_.empty(), &Terms::mass},
            {"momentum", w.momentum, !momentum_.empty(), &Terms::momentum},   {"energy", w.energy, !energy_.empty(), &Terms::energy},
            {"penalty_negative", w.penalty_negative, true, &Terms::negative}, {"smoothness", w.smoothness, true, &Terms::roughness}};
  }

 private:
  std::span<const float> channel(std::span<const float> field, int64_t c) const {
    const auto cells = static_cast<size_t>(info_.cells());
    return field.subspan(static_cast<size_t>(c) * cells, cells);
  }
  double residual(std::span<const float> before, std::span<const float> after, int64_t trajectory, double scale) {
    const std::vector<double> values = parameters_(trajectory);
    return metrics::residual_size(residual_->defect(before, after, parameter_ < values.size() ? values[parameter_] : 0)) / scale;
  }
  double change_of_means(const std::vector<int64_t>& channels, std::span<const float> before, std::span<const float> after, double scale) const {
    double sum = 0;
    for (int64_t c : channels) sum += std::abs(mean_of(channel(after, c)) - mean_of(channel(before, c)));
    return sum / scale;
  }
  double mass(std::span<const float> before, std::span<const float> after, int64_t, double scale) { return change_of_means(mass_, before, after, scale); }
  double momentum(std::span<const float> before, std::span<const float> after, int64_t, double scale) {
    return change_of_means(momentum_, before, after, scale);
  }
  double energy(std::span<const float> before, std::span<const float> after, int64_t, double scale) {
    double growth = residual_ != nullptr ? -residual_->energy_growth(before, after) : 0;
    for (int64_t c : energy_) growth += mean_square(channel(after, c)) - mean_square(channel(before, c));
    return std::max(0.0, growth) / (scale * scale);
  }
  double negative(std::span<const float>, std::span<const float> after, int64_t, double scale) {
    double sum = 0;
    for (float v : after) sum += std::max(0.0, -static_cast<double>(v));
    return sum / static_cast<double>(after.size()) / scale;
  }
  // Second differences along every axis, inside the grid.
  double roughness(std::span<const float>, std::span<const float> after, int64_t, double scale) {
    double sum = 0, count = 0;
    size_t stride = after.size() / static_cast<size_t>(info_.channels);
    for (const int64_t g : info_.grid) {
      const auto length = static_cast<size_t>(g);
      stride /= length;
      for (size_t i = 0; i < after.size(); ++i) {
        const size_t position = i / stride % length;
        if (position == 0 || position + 1 == length) continue;
        const double d = static_cast<double>(after[i - stride]) - 2 * static_cast<double>(after[i]) + static_cast<double>(after[i + stride]);
        sum += d * d, ++count;
      }
    }
    return count > 0 ? sum / count / (scale * scale) : 0;
  }

  data::SetInfo info_;
  std::function<std::vector<double>(int64_t)> parameters_;
  std::unique_ptr<metrics::StepResidual> residual_;
  std::vector<int64_t> mass_, momentum_, energy_;
  size_t parameter_ = 0;
};

}  // namespace

std::unique_ptr<metrics::StepResidual> set_residual(const data::SetInfo& info, const std::string& scheme) {
  const std::string parameter = metrics::residual_parameter(info.family);
  if (info.grid.size() != 1 || info.channels != 1 || !info.periodic(0) || info.length.empty() || !(info.dt > 0)) return nullptr;
  if (!parameter.empty() && parameter_index(info, parameter) == info.param_names.size()) return nullptr;
  const metrics::StepGrid grid{info.grid[0], info.length[0], info.dt};
  if (info.family == "ks1d" && scheme == "solver" && std::has_single_bit(static_cast<uint64_t>(grid.points))) return std::make_unique<SolverResidual>(grid);
  return metrics::step_residual(info.family, grid, scheme == "crank_nicolson" ? 2 : scheme == "obreshkov6" ? 6 : 4);
}

TtcReward physical_reward(const TtcRewardOptions& options, const data::SetInfo& info, std::function<std::vector<double>(int64_t)> parameters) {
  const auto terms = std::make_shared<Terms>(options, info, std::move(parameters));
  TtcReward reward;
  std::vector<Terms::Term> chosen;
  for (const Terms::Entry& e : terms->entries(options.weights)) {
    if (!(e.weight > 0) || !e.present) continue;
    if (std::string_view(e.name) == "residual") reward.residual = chosen.size();
    reward.names.emplace_back(e.name);
    reward.weights.push_back(e.weight);
    chosen.push_back(e.term);
  }
  if (chosen.empty())
    throw usage_error("ttc.reward.weights", fmt::format("no term is left to score the set {} with", info.name), "give a weight to energy or smoothness");
  reward.cost = [terms, chosen](std::span<const float> before, std::span<const float> after, int64_t trajectory, std::span<double> out) {
    assert(out.size() == chosen.size());
    const bool finite = std::all_of(after.begin(), after.end(), [](float v) { return std::isfinite(v); });
    const double scale = std::sqrt(std::max(mean_square(before), 1e-30));
    for (size_t j = 0; j < out.size(); ++j)
      out[j] = finite ? ((*terms).*chosen[j])(before, after, trajectory, scale) : std::numeric_limits<double>::infinity();
  };
  return reward;
}

double reward_floor(std::span<const float> before, std::span<const float> candidates) {
  const size_t n = before.size(), k = candidates.size() / n;
  double distance = 0;
  for (size_t i = 0; i < n; ++i) {
    double mean = 0;
    for (size_t c = 0; c < k; ++c) mean += static_cast<double>(candidates[c * n + i]) / static_cast<double>(k);
    for (size_t c = 0; c < k; ++c) {
      const double d = static_cast<double>(candidates[c * n + i]) - mean;
      if (std::isfinite(d)) distance += d * d / static_cast<double>(candidates.size());
    }
  }
  const double size = mean_square(before);
  return std::max(kRounding, kNegligible * (distance < size ? std::sqrt(distance / size) : 1.0));
}

std::vector<double> standardised_rewards(const std::vector<std::vector<double>>& costs, const std::vector<double>& weights, double floor) {
  std::vector<double> out(costs.size(), 0.0);
  const auto usable = [&](size_t k) { return std::all_of(costs[k].begin(), costs[k].end(), [](double v) { return std::isfinite(v); }); };
  for (size_t k = 0; k < costs.size(); ++k) {
    if (!usable(k)) out[k] = -std::numeric_limits<double>::infinity();
  }
  for (size_t j = 0; j < weights.size(); ++j) {
    double mean = 0, squares = 0, count = 0;
    for (size_t k = 0; k < costs.size(); ++k) {
      if (usable(k)) mean += costs[k][j], ++count;
    }
    mean /= count;
    for (size_t k = 0; k < costs.size(); ++k) {
      if (usable(k)) squares += (costs[k][j] - mean) * (costs[k][j] - mean);
    }
    const double deviation = std::max(std::sqrt(squares / count), floor);
    for (size_t k = 0; k < costs.size(); ++k) {
      if (usable(k)) out[k] -= weights[j] * (costs[k][j] - mean) / deviation;
    }
  }
  return out;
}

}  // namespace ups::run
