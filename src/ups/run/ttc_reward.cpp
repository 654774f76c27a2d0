#include "ups/run/ttc_reward.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "ups/core/error.h"
#include "ups/run/evaluation.h"

namespace ups::run {
namespace {

constexpr double kRounding = 1e-6;    // of fp32 fields, relative
constexpr double kNegligible = 0.1;   // of the candidates' differences

double mean_of(std::span<const float> field) { return std::accumulate(field.begin(), field.end(), 0.0) / static_cast<double>(field.size()); }
double mean_square(std::span<const float> field) {
  double sum = 0;
  for (float v : field) sum += static_cast<double>(v) * static_cast<double>(v);
  return sum / static_cast<double>(field.size());
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
    parameter_ = residual_parameter_index(info);
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
