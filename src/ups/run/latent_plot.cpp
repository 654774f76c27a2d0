#include "ups/run/latent_plot.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <filesystem>

#include "ups/io/files.h"
#include "ups/io/svg.h"

namespace ups::run {
namespace {

constexpr int64_t kMaxChannels = 3;

// values [T, X] or [X, Y], which is drawn with y upwards.
io::FieldPanel panel(const std::string& title, const at::Tensor& values, bool line) {
  const at::Tensor image = (line ? values : values.t()).to(at::kCPU).to(at::kFloat).contiguous();
  io::FieldPanel p;
  p.title = title;
  p.rows = image.size(0);
  p.cols = image.size(1);
  p.values.assign(image.const_data_ptr<float>(), image.const_data_ptr<float>() + image.numel());
  return p;
}

}  // namespace

std::string write_autoencoder_plot(const std::string& folder, stages::FieldSpace& space, data::Split split) {
  const at::NoGradGuard no_grad;
  const auto& info = space.info();
  const bool line = info.grid.size() == 1;
  at::Tensor truth = stages::normalised_trajectory(space, space.dataset->members(split).at(0));
  if (!line) truth = truth.narrow(0, truth.size(0) - 1, 1);
  const at::Tensor kept = space.physical(space.encode(truth));
  truth = truth * space.std + space.mean;
  io::FieldFigure figure;
  figure.title = info.name + (line ? ": a trajectory through the autoencoder" : ": a last frame through the autoencoder");
  figure.x_label = "x";
  figure.y_label = line ? "frame" : "y";
  if (line) figure.panel_height = 160;
  for (int64_t c = 0; c < std::min(kMaxChannels, info.channels); ++c) {
    const auto plane = [&](const at::Tensor& t) { return line ? t.select(1, c) : t.select(0, 0).select(0, c); };
    const std::string& name = info.channel_names.at(static_cast<size_t>(c));
    io::FieldPanel field = panel(name, plane(truth), line), decoded = panel("reconstruction", plane(kept), line), lost = panel("difference", plane(kept - truth), line);
    const auto [low, high] = std::minmax_element(field.values.begin(), field.values.end());
    field.low = decoded.low = static_cast<double>(*low);
    field.high = decoded.high = static_cast<double>(*high);
    lost.map = io::ColourMap::diverging;
    lost.high = plane(kept - truth).abs().max().item<double>();
    lost.low = -lost.high;
    figure.panels.push_back({field, decoded, lost});
  }
  io::make_directories(folder);
  const std::string path = (std::filesystem::path(folder) / "autoencoder.svg").string();
  io::write_text_atomic(path, io::render_fields(figure));
  return path;
}

}  // namespace ups::run
