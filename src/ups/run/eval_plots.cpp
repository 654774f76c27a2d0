#include "ups/run/eval_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ups/io/files.h"
#include "ups/io/svg.h"

namespace ups::run {
namespace {
namespace fs = std::filesystem;
using metrics::Metric;

constexpr size_t kMaxPictureRows = 6;

io::Chart error_chart(const SetScores& set, bool rollout) {
  io::Chart chart;
  chart.title = set.info.name + (rollout ? ": rollout from the last context frame" : ": one step from the true frame");
  chart.x.label = "time";
  chart.y = {"nRMSE", true, {}, {}};
  double baseline = 0, largest = 0;
  for (const ModelScores& m : set.models) {
    const metrics::FieldResult& field = (rollout ? *m.rollout : m.one_step).field;
    io::Series s;
    s.name = m.name;
    s.x = set.times;
    for (int64_t t = 0; t < field.frames; ++t) s.y.push_back(field.frame_mean(Metric::nrmse, t));
    s.dashed = m.nfe == 0;
    for (double v : s.y) {
      if (std::isfinite(v)) largest = std::max(largest, v);
      if (std::isfinite(v) && s.dashed) baseline = std::max(baseline, v);
    }
    if (m.name == "persistence") s.color = "#5b6470";
    if (m.name == "climatology") s.color = "#a9b0b8";
    chart.series.push_back(std::move(s));
  }
  if (baseline > 0 && largest > 30 * baseline) chart.y.max = 30 * baseline;  // one blown-up model must not flatten the others
  return chart;
}

// Where the truth lies among the members, and how often it lies inside their central intervals (docs/metrics.md).
std::vector<io::Chart> calibration_charts(const SetScores& set, bool rollout) {
  const std::string mode = set.info.steady ? "solution" : rollout ? "rollout" : "one step";
  io::Chart ranks, coverage;
  ranks.title = set.info.name + ", " + mode + ": rank of the truth among the members";
  ranks.x = {"rank / (members + 1)", false, 0, 1};
  ranks.y = {"frequency / flat", false, 0, {}};
  coverage.title = set.info.name + ", " + mode + ": coverage of central intervals";
  coverage.x = {"promised share", false, 0, 1};
  coverage.y = {"share of truths inside", false, 0, 1};
  ranks.series.push_back({"calibrated", {0, 1}, {1, 1}, {}, {}, "#a9b0b8", true, false});
  coverage.series.push_back({"calibrated", {0, 1}, {0, 1}, {}, {}, "#a9b0b8", true, false});
  for (const ModelScores& m : set.models) {
    const ModeScores& scores = rollout && m.rollout ? *m.rollout : m.one_step;
    if (!scores.ensemble || scores.ensemble->diverged > 0) continue;
    io::Series steps, share;
    steps.name = share.name = m.name;
    const auto& histogram = scores.ensemble->rank_histogram;
    const auto bins = static_cast<double>(histogram.size());
    for (size_t k = 0; k < histogram.size(); ++k) {
      steps.x.insert(steps.x.end(), {static_cast<double>(k) / bins, static_cast<double>(k + 1) / bins});
      steps.y.insert(steps.y.end(), {histogram[k] * bins, histogram[k] * bins});
    }
    share.markers = true;
    for (const metrics::Coverage& c : scores.ensemble->coverage) share.x.push_back(c.nominal), share.y.push_back(c.actual);
    ranks.series.push_back(std::move(steps));
    coverage.series.push_back(std::move(share));
  }
  if (ranks.series.size() == 1) return {};
  return {ranks, coverage};
}

// One picture plane of a sample: 1-D [T, X] with time upwards, 2-D the last frame [Y, X].
io::FieldPanel plane(const SetScores& set, const std::vector<float>& sample, int64_t channel, const std::string& title) {
  const int64_t cells = set.info.cells(), stride = set.info.channels * cells;
  io::FieldPanel p;
  p.title = title;
  if (set.info.grid.size() == 1) {
    p.rows = set.frames, p.cols = cells;
    for (int64_t t = 0; t < set.frames; ++t) {
      const auto from = sample.begin() + static_cast<std::ptrdiff_t>(t * stride + channel * cells);
      p.values.insert(p.values.end(), from, from + static_cast<std::ptrdiff_t>(cells));
    }
    return p;
  }
  const int64_t nx = set.info.grid[0], ny = set.info.grid[1];
  p.rows = ny, p.cols = nx;
  const float* from = &sample[static_cast<size_t>((set.frames - 1) * stride + channel * cells)];
  for (int64_t j = 0; j < ny; ++j) {
    for (int64_t i = 0; i < nx; ++i) p.values.push_back(from[i * ny + j]);
  }
  return p;
}

std::vector<io::FieldPanel> picture_row(const SetScores& set, const SampleFields& f, int64_t channel) {
  const std::string& name = set.info.channel_names.size() > static_cast<size_t>(channel)
                                ? set.info.channel_names[static_cast<size_t>(channel)]
                                : std::to_string(channel);
  io::FieldPanel truth = plane(set, f.truth, channel, name + ": truth"), model = plane(set, f.prediction, channel, f.model);
  const auto [low, high] = std::minmax_element(truth.values.begin(), truth.values.end());
  truth.low = model.low = static_cast<double>(*low), truth.high = model.high = static_cast<double>(*high);
  io::FieldPanel error = model;
  error.title = f.model + " - truth";
  error.map = io::ColourMap::diverging;
  double largest = 0;
  for (size_t i = 0; i < error.values.size(); ++i) {
    error.values[i] -= truth.values[i];
    if (std::isfinite(error.values[i])) largest = std::max(largest, std::abs(static_cast<double>(error.values[i])));
  }
  error.low = -largest, error.high = largest;
  return {truth, model, error};
}

// Where the ensemble is unsure beside where it is wrong, in one scale of colours.
std::vector<io::FieldPanel> spread_row(const SetScores& set, const SampleFields& f, int64_t channel) {
  std::vector<io::FieldPanel> row = picture_row(set, f, channel);
  io::FieldPanel& error = row[2];
  error.title = "|mean - truth|";
  error.map = io::ColourMap::sequential;
  for (float& v : error.values) v = std::abs(v);
  io::FieldPanel spread = plane(set, f.spread, channel, "spread");
  double largest = error.high;
  for (float v : spread.values) largest = std::max(largest, std::isfinite(v) ? static_cast<double>(v) : 0);
  error.low = spread.low = 0, error.high = spread.high = largest;
  row.push_back(std::move(spread));
  return row;
}

io::FieldFigure field_figure(const SetScores& set, bool spread) {
  io::FieldFigure figure;
  const bool one = set.info.grid.size() == 1;
  figure.title = fmt::format("{}: {}{} of trajectory {}", set.info.name, spread ? "ensemble " : "",
                             one ? "rollout" : set.info.steady ? "solution" : "last rollout frame",
                             set.trajectories.empty() ? 0 : set.trajectories[0]);
  figure.x_label = "x";
  figure.y_label = one ? "frame" : "y";
  if (one) figure.panel_height = 160;
  for (const SampleFields& f : set.pictures) {
    if (f.spread.empty() == spread || (f.model == "persistence" && set.pictures.size() > 1)) continue;
    for (int64_t c = 0; c < std::min<int64_t>(2, set.info.channels) && figure.panels.size() < kMaxPictureRows; ++c) {
      figure.panels.push_back(spread ? spread_row(set, f, c) : picture_row(set, f, c));
    }
  }
  return figure;
}

std::string write(const std::string& folder, const std::string& name, const std::string& svg) {
  const std::string path = (fs::path(folder) / name).string();
  io::write_text_atomic(path, svg);
  return path;
}

}  // namespace

std::vector<std::string> write_eval_plots(const std::string& folder, const std::vector<SetScores>& sets) {
  io::make_directories(folder);
  std::vector<std::string> paths;
  for (const SetScores& set : sets) {
    if (!set.info.steady) {
      paths.push_back(write(folder, "errors_" + set.info.name + ".svg", io::render_charts({error_chart(set, true), error_chart(set, false)}, 2)));
    }
    std::vector<io::Chart> charts = set.info.steady ? std::vector<io::Chart>{} : calibration_charts(set, true);
    for (io::Chart& chart : calibration_charts(set, false)) charts.push_back(std::move(chart));
    if (!charts.empty()) paths.push_back(write(folder, "calibration_" + set.info.name + ".svg", io::render_charts(charts, 2)));
    if (set.info.grid.size() > 2) continue;
    for (const bool spread : {false, true}) {
      const io::FieldFigure figure = field_figure(set, spread);
      const std::string name = (spread ? "spread_" : "fields_") + set.info.name + ".svg";
      if (!figure.panels.empty()) paths.push_back(write(folder, name, io::render_fields(figure)));
    }
  }
  return paths;
}

}  // namespace ups::run
