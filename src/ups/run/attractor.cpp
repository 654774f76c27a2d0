#include "ups/run/attractor.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "ups/core/error.h"
#include "ups/io/svg.h"
#include "ups/metrics/distribution.h"

namespace ups::run {
namespace {

constexpr int64_t kDrawBatch = 128;
constexpr int64_t kYardsticks = 4;  // sets of train frames, as far as there are that many

struct Frames {
  std::vector<float> values;         // [n, C, cells]
  std::vector<int64_t> trajectory;   // [n]
};

// One frame of each of n trajectories of a split, so that frames are independent; times in turn. Sets of other offsets < members / n share
// no trajectory.
Frames pick(data::Dataset& d, data::Split split, int64_t n, int64_t offset = 0) {
  const auto& info = d.info();
  const auto& members = d.members(split);
  const int64_t total = static_cast<int64_t>(members.size());
  const size_t frame = static_cast<size_t>(info.channels * info.cells());
  Frames f;
  f.values.resize(static_cast<size_t>(n) * frame);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t trajectory = members[static_cast<size_t>(i * (total / n) + offset)];
    d.read(trajectory, i % info.frames, 1, std::span<float>(f.values).subspan(static_cast<size_t>(i) * frame, frame));
    f.trajectory.push_back(trajectory);
  }
  return f;
}

// 1 / standard deviation per channel.
std::vector<float> inverse_deviations(const std::vector<float>& values, size_t channels, size_t cells) {
  std::vector<double> sum(channels, 0), square(channels, 0);
  for (size_t i = 0; i < values.size(); ++i) {
    const double v = static_cast<double>(values[i]);
    sum[i / cells % channels] += v;
    square[i / cells % channels] += v * v;
  }
  const double n = static_cast<double>(values.size() / channels);
  std::vector<float> out;
  for (size_t c = 0; c < channels; ++c) out.push_back(static_cast<float>(1 / std::max(1e-30, std::sqrt(std::max(0.0, square[c] / n - sum[c] / n * sum[c] / n)))));
  return out;
}

}  // namespace

AttractorScores score_attractor(data::Dataset& d, data::Split split, const DrawState& draw, int64_t limit) {
  const auto& info = d.info();
  const size_t channels = static_cast<size_t>(info.channels), cells = static_cast<size_t>(info.cells()), frame = channels * cells;
  AttractorScores s;
  s.set = info.name;
  s.split = data::to_string(split);
  s.split_hash = d.split_hash();
  s.samples = std::min({static_cast<int64_t>(d.members(split).size()), static_cast<int64_t>(d.members(data::Split::train).size()), limit});
  if (s.samples < 2) throw data_error(info.name, "the " + s.split + " split has no two trajectories whose frames draws could be compared with");
  Frames real = pick(d, split, s.samples);
  std::vector<float> draws(real.values.size());
  const auto started = std::chrono::steady_clock::now();
  for (int64_t first = 0; first < s.samples; first += kDrawBatch) {
    const size_t begin = static_cast<size_t>(first), count = static_cast<size_t>(std::min(kDrawBatch, s.samples - first));
    draw(std::span<const int64_t>(real.trajectory).subspan(begin, count), first, std::span<float>(draws).subspan(begin * frame, count * frame));
  }
  s.ms_per_sample = 1e3 * std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count() / static_cast<double>(s.samples);
  for (size_t c = 0; c < channels; ++c) {
    s.power.push_back(metrics::mean_power(real.values, info.grid, channels, c));
    s.power_draws.push_back(metrics::mean_power(draws, info.grid, channels, c));
    s.spectrum_error += metrics::log_spectrum_error(s.power_draws[c], s.power[c]) / static_cast<double>(channels);
  }
  s.cells = info.grid.size() == 1 ? info.cells() : 0;
  const auto shown = static_cast<std::ptrdiff_t>(static_cast<size_t>(std::min(s.samples, AttractorScores::kShown)) * frame);
  s.frames_shown.assign(real.values.begin(), real.values.begin() + shown);
  s.draws_shown.assign(draws.begin(), draws.begin() + shown);
  const auto scale = inverse_deviations(real.values, channels, cells);
  const auto rescale = [&](std::vector<float>& values) {
    for (size_t i = 0; i < values.size(); ++i) values[i] *= scale[i / cells % channels];
  };
  rescale(real.values);
  rescale(draws);
  s.energy_distance = metrics::energy_distance(draws, real.values, frame);
  const int64_t sets = std::min(kYardsticks, static_cast<int64_t>(d.members(data::Split::train).size()) / s.samples);
  for (int64_t k = 0; k < sets; ++k) {
    Frames other = pick(d, data::Split::train, s.samples, k);
    for (size_t c = 0; c < channels; ++c)
      s.spectrum_error_real += metrics::log_spectrum_error(metrics::mean_power(other.values, info.grid, channels, c), s.power[c]) / static_cast<double>(channels) / static_cast<double>(sets);
    rescale(other.values);
    s.energy_distance_real += metrics::energy_distance(other.values, real.values, frame) / static_cast<double>(sets);
  }
  return s;
}

std::string attractor_text(const AttractorScores& s) {
  return fmt::format("{}: steady_prior (attractor): {} draws against {} {} frames: energy distance {:.3g}, {:.2f}x that of as many train frames ({:.3g}); "
                     "log10 spectrum error {:.3g} (train frames: {:.3g}); {:.2g} ms per draw",
                     s.set, s.samples, s.samples, s.split, s.energy_distance, s.ratio(), s.energy_distance_real, s.spectrum_error, s.spectrum_error_real, s.ms_per_sample);
}

std::string attractor_json(const AttractorScores& s) {
  const nlohmann::ordered_json j{{"set", s.set}, {"split", s.split}, {"split_hash", s.split_hash}, {"samples", s.samples},
                                 {"energy_distance", s.energy_distance}, {"energy_distance_real", s.energy_distance_real}, {"ratio", s.ratio()},
                                 {"spectrum_error", s.spectrum_error}, {"spectrum_error_real", s.spectrum_error_real},
                                 {"ms_per_sample", s.ms_per_sample}, {"power", s.power}, {"power_draws", s.power_draws}};
  return j.dump(2);
}

std::string attractor_svg(const AttractorScores& s) {
  std::vector<io::Chart> charts(1);
  io::Chart& spectra = charts[0];
  spectra.title = fmt::format("{}: mean power, {} each", s.set, s.samples);
  spectra.x.label = "wave number";
  spectra.y = {"power", true, metrics::kEnergetic * *std::max_element(s.power[0].begin() + 1, s.power[0].end()), {}};
  for (const auto& [name, power] : {std::pair<std::string, const std::vector<double>&>{"held-out frames", s.power[0]}, {"draws", s.power_draws[0]}}) {
    io::Series line;
    line.name = name;
    for (size_t k = 1; k < power.size(); ++k) {
      if (s.power[0][k] < *spectra.y.min) continue;
      line.x.push_back(static_cast<double>(k));
      line.y.push_back(power[k]);
    }
    line.markers = true;
    spectra.series.push_back(std::move(line));
  }
  for (const auto& [name, values] : {std::pair<std::string, const std::vector<float>&>{"held-out frames", s.frames_shown}, {"draws", s.draws_shown}}) {
    if (s.cells == 0) continue;
    io::Chart chart;
    chart.title = name;
    chart.x.label = "cell";
    const size_t cells = static_cast<size_t>(s.cells), frame = cells * s.power.size();
    for (size_t i = 0; i * frame < values.size(); ++i) {
      io::Series line;
      line.name = std::to_string(i + 1);
      for (size_t x = 0; x < cells; ++x) {
        line.x.push_back(static_cast<double>(x));
        line.y.push_back(static_cast<double>(values[i * frame + x]));
      }
      chart.series.push_back(std::move(line));
    }
    charts.push_back(std::move(chart));
  }
  for (io::Chart& c : charts) c.width = 420, c.height = 300;
  return io::render_charts(charts, 3);
}

}  // namespace ups::run
