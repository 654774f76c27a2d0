#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>

#include "ups/io/files.h"
#include "ups/io/svg.h"
#include "ups/run/eval_plots.h"

namespace ups::run {

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
  const std::string path = (std::filesystem::path(folder) / "training.svg").string();
  io::write_text_atomic(path, io::render_charts(charts, 2));
  return {path};
}

}  // namespace ups::run
