#include "ups/run/eval_plots.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

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

io::FieldFigure field_figure(const SetScores& set) {
  io::FieldFigure figure;
  const bool one = set.info.grid.size() == 1;
  figure.title = fmt::format("{}: {} of trajectory {}", set.info.name, one ? "rollout" : set.info.steady ? "solution" : "last rollout frame",
                             set.trajectories.empty() ? 0 : set.trajectories[0]);
  figure.x_label = "x";
  figure.y_label = one ? "frame" : "y";
  if (one) figure.panel_height = 160;
  for (const SampleFields& f : set.pictures) {
    if (f.model == "persistence" && set.pictures.size() > 1) continue;
    for (int64_t c = 0; c < std::min<int64_t>(2, set.info.channels) && figure.panels.size() < kMaxPictureRows; ++c) {
      figure.panels.push_back(picture_row(set, f, c));
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
    if (set.pictures.empty() || set.info.grid.size() > 2) continue;
    paths.push_back(write(folder, "fields_" + set.info.name + ".svg", io::render_fields(field_figure(set))));
  }
  return paths;
}

std::vector<std::string> write_training_plots(const std::string& folder, const std::string& metrics_jsonl) {
  // stage -> key without the stage's prefix -> (update, value); stages in the order of their first record
  std::vector<std::string> order;
  std::map<std::string, std::map<std::string, io::Series>> stages;
  const std::string text = io::read_text(metrics_jsonl, {});
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const auto line = nlohmann::json::parse(text.substr(begin, end - begin), nullptr, false);
    begin = end + 1;
    if (!line.is_object()) continue;  // the last line may be unfinished
    const std::string kind = line.value("kind", ""), stage = line.value("stage", ""), prefix = stage + "/";
    if ((kind != "epoch" && kind != "step") || !line.contains("update") || !line["update"].is_number()) continue;
    if (std::find(order.begin(), order.end(), stage) == order.end()) order.push_back(stage);
    const double update = line["update"].get<double>();
    for (const auto& [key, value] : line.items()) {
      if (key.rfind(prefix, 0) != 0 || !value.is_number()) continue;
      io::Series& s = stages[stage][key.substr(prefix.size()) + (kind == "step" ? " (steps)" : "")];
      if (!s.x.empty() && update <= s.x.back()) {  // a second training under the same name (equal-compute control): a new line
        s.x.push_back(update);
        s.y.push_back(std::nan(""));
      }
      s.x.push_back(update);
      s.y.push_back(value.get<double>());
    }
  }
  std::vector<io::Chart> charts;
  for (const std::string& stage : order) {
    io::Chart loss, rate;
    loss.title = stage + ": loss and validation";
    rate.title = stage + ": learning rate and gradient norm";
    for (io::Chart* c : {&loss, &rate}) c->x.label = "update", c->y.log = true;
    for (auto& [key, series] : stages[stage]) {
      series.name = key;
      series.markers = series.x.size() < 30;
      if (key == "val_score") continue;  // one of the other validation numbers once more
      if (key.rfind("loss", 0) == 0 || key.rfind("val_", 0) == 0) loss.series.push_back(series);
      if (key.rfind("lr", 0) == 0 || key.rfind("grad_norm", 0) == 0) rate.series.push_back(series);
    }
    charts.push_back(std::move(loss));
    charts.push_back(std::move(rate));
  }
  if (charts.empty()) return {};
  io::make_directories(folder);
  return {write(folder, "training.svg", io::render_charts(charts, 2))};
}

}  // namespace ups::run
