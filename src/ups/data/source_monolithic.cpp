// Layouts with all trajectories in one dataset per field: pdebench, pdebench_darcy, pdebench_cfd, ups_h5.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/data/family.h"
#include "ups/data/source.h"

namespace ups::data {
namespace {

using Shape = std::vector<int64_t>;

std::string shape_text(const Shape& s) { return fmt::format("({})", fmt::join(s, ", ")); }

class Monolithic final : public Source {
 public:
  Monolithic(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options) : file_(std::move(file)) {
    info_ = std::move(info);
    label_ = std::filesystem::path(info_.path).filename().string();
    if (info_.format == "ups_h5") {
      open_ups(options);
    } else if (info_.format == "pdebench_cfd") {
      open_cfd();
    } else {
      open_tensor(options);
    }
    info_.ids.resize(static_cast<size_t>(info_.trajectories));
    std::iota(info_.ids.begin(), info_.ids.end(), int64_t{0});
    info_.boundary = family_boundary(info_.family, info_.path, info_.grid.size());
  }

  void read(int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) override {
    const size_t cells = static_cast<size_t>(info_.cells()), frame = cells * static_cast<size_t>(info_.channels);
    if (fields_.size() == 1 && info_.channels == 1) return read_block(*fields_[0], i, first, count, stride, out);
    std::vector<float> block;
    if (channels_last_) {
      block.resize(frame * static_cast<size_t>(count));
      read_block(*fields_[0], i, first, count, stride, block);
      const size_t c_n = static_cast<size_t>(info_.channels);
      for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
        for (size_t c = 0; c < c_n; ++c) {
          for (size_t x = 0; x < cells; ++x) out[t * frame + c * cells + x] = block[t * frame + x * c_n + c];
        }
      }
      return;
    }
    block.resize(cells * static_cast<size_t>(count));
    for (size_t c = 0; c < fields_.size(); ++c) {
      read_block(*fields_[c], i, first, count, stride, block);
      for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
        std::copy_n(block.begin() + static_cast<std::ptrdiff_t>(t * cells), cells,
                    out.begin() + static_cast<std::ptrdiff_t>(t * frame + c * cells));
      }
    }
  }

  void read_coeff(int64_t i, std::span<float> out) override {
    Shape start(coeff_->info().shape.size(), 0), one(start.size(), 1), count = coeff_->info().shape;
    start[0] = i;
    count[0] = 1;
    coeff_->read(start, one, count, out);
  }

  std::string object(int64_t i) const override { return fmt::format("{}[{}]", fields_[0]->info().path, i); }

  bool ill_defined(int64_t i) override {
    if (info_.format != "pdebench_cfd" || info_.frames < 2) return false;
    std::vector<float> density(static_cast<size_t>(info_.cells()));
    read_block(*fields_[0], i, info_.frames - 2, 1, 1, density);
    double sum = 0;
    for (float v : density) sum += v;
    return std::abs(sum) < 1e-6;
  }

 private:
  std::string place(size_t field) const { return label_ + ":" + fields_[field]->info().path; }

  void read_block(io::H5Dataset& d, int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) {
    const Shape& shape = d.info().shape;
    Shape start(shape.size(), 0), step(shape.size(), 1), n = shape;
    start[0] = i;
    n[0] = 1;
    start[1] = first;
    step[1] = stride;
    n[1] = count;
    d.read(start, step, n, out);
  }

  // An empty dataset would only confuse the checks that follow.
  void add_field(const std::string& object) {
    fields_.push_back(file_->dataset(object));
    const Shape& shape = fields_.back()->info().shape;
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
      throw data_error(label_ + ":" + object, fmt::format("expected at least one trajectory, frame and cell, found shape {}",
          shape_text(shape)));
    }
  }

  // x-, y-, z-coordinate present in the file; decides the number of axes (sizes never do).
  size_t count_axes() const {
    size_t axes = 0;
    while (axes < 3 && file_->contains(axis_name(axes))) ++axes;
    if (axes == 0) throw data_error(label_ + ":/x-coordinate", "expected the coordinates of the cells, found nothing");
    return axes;
  }
  static std::string axis_name(size_t axis) { return std::string("/") + "xyz"[axis] + "-coordinate"; }

  // Extents behind (N, T): exactly `axes`, or one more that is 1 (data.md, trap 4).
  Shape grid_of(const io::H5Dataset& d, size_t axes, const char* expected) const {
    const Shape& s = d.info().shape;
    const bool fits = s.size() == 2 + axes || (s.size() == 3 + axes && s.back() == 1);
    if (!fits) throw data_error(label_ + ":" + d.info().path,
        fmt::format("expected shape {}, found {}", expected, shape_text(s)));
    return Shape(s.begin() + 2, s.begin() + 2 + static_cast<std::ptrdiff_t>(axes));
  }

  void read_axes() {
    for (size_t a = 0; a < info_.grid.size(); ++a) info_.coords.push_back(read_axis(*file_, axis_name(a), info_.grid[a]));
  }

  void open_tensor(const SourceOptions& options) {
    const bool darcy = info_.format == "pdebench_darcy";
    add_field("/tensor");
    const size_t axes = count_axes();
    static constexpr const char* kExpected[] = {"(N, T, X)", "(N, T, X, Y)", "(N, T, X, Y, Z)"};
    info_.grid = grid_of(*fields_[0], axes, kExpected[axes - 1]);
    info_.trajectories = fields_[0]->info().shape[0];
    info_.frames = fields_[0]->info().shape[1];
    info_.channel_names = channel_names(info_.family, 1, options.field_name);
    read_axes();
    if (darcy && !file_->contains("/t-coordinate")) {
      info_.time.assign(static_cast<size_t>(info_.frames), 0.0);
    } else {
      info_.time = read_time(*file_, "/t-coordinate", info_.frames);
    }
    if (darcy) open_coefficient();
    if (on_unit_interval(info_.family)) rescale_axis();
  }

  void open_coefficient() {
    if (info_.frames != 1) throw data_error(place(0), fmt::format("expected one frame of a steady set, found {}", info_.frames));
    coeff_ = file_->dataset("/nu");
    Shape expected{info_.trajectories}, found = coeff_->info().shape;
    expected.insert(expected.end(), info_.grid.begin(), info_.grid.end());
    if (found.size() == expected.size() + 1 && found.back() == 1) found.pop_back();
    if (found != expected) {
      throw data_error(label_ + ":/nu", fmt::format("expected shape {}, found {}", shape_text(expected), shape_text(found)));
    }
    info_.coeff_channels = 1;
  }

  // Early Burgers and advection files carry -1..1 for a (0, 1) domain (data.md, trap 6).
  void rescale_axis() {
    std::vector<double>& x = info_.coords[0];
    if (x.size() < 2) return;
    const double n = static_cast<double>(x.size()), dx = (x.back() - x.front()) / (n - 1);
    const bool doubled = std::abs(n * dx - 2) < 0.02 || std::abs(x.back() - x.front() - 2) < 0.02;
    if (!doubled) return;
    const double length = n * dx, left = x.front() - 0.5 * dx;
    for (double& v : x) v = (v - left) / length;
    info_.notes.push_back(fmt::format("x-coordinate spans {:.4g}; rescaled to (0, 1)", length));
    log::warn(fmt::format("{}: {}", label_, info_.notes.back()));
  }

  void open_cfd() {
    const size_t axes = count_axes();
    static constexpr const char* kNames[] = {"density", "pressure", "Vx", "Vy", "Vz"};
    for (size_t c = 0; c < 2 + axes; ++c) {
      add_field(std::string("/") + kNames[c]);
      info_.channel_names.emplace_back(kNames[c]);
      if (fields_[c]->info().shape != fields_[0]->info().shape) {
        throw data_error(place(c), fmt::format("expected shape {} as /density, found {}", shape_text(fields_[0]->info().shape),
                                               shape_text(fields_[c]->info().shape)));
      }
    }
    info_.grid = grid_of(*fields_[0], axes, "(N, T, X[, Y, Z])");
    info_.trajectories = fields_[0]->info().shape[0];
    info_.frames = fields_[0]->info().shape[1];
    info_.channels = static_cast<int64_t>(fields_.size());
    read_axes();
    info_.time = read_time(*file_, "/t-coordinate", info_.frames);
  }

  // UPS's converter writes no coordinates: unit box, cell centres, time in frames.
  void open_ups(const SourceOptions& options) {
    add_field("/data");
    const Shape& s = fields_[0]->info().shape;
    if (s.size() != 4 && s.size() != 5) {
      throw data_error(place(0), fmt::format("expected shape (N, T, X, C) or (N, T, H, W, C), found {}", shape_text(s)));
    }
    channels_last_ = true;
    info_.trajectories = s[0];
    info_.frames = s[1];
    info_.channels = s.back();
    if (info_.channels < 1 || info_.channels > 64) {
      throw data_error(place(0), fmt::format("expected 1 to 64 channels in the last axis, found {}", info_.channels));
    }
    info_.grid.assign(s.begin() + 2, s.end() - 1);
    for (int64_t n : info_.grid) {
      std::vector<double>& x = info_.coords.emplace_back();
      for (int64_t i = 0; i < n; ++i) x.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(n));
    }
    for (int64_t t = 0; t < info_.frames; ++t) info_.time.push_back(static_cast<double>(t));
    info_.channel_names = channel_names(info_.family, info_.channels, options.field_name);
  }

  std::unique_ptr<io::H5File> file_;
  std::string label_;
  std::vector<std::unique_ptr<io::H5Dataset>> fields_;  // one per channel, or one for all
  std::unique_ptr<io::H5Dataset> coeff_;
  bool channels_last_ = false;
};

}  // namespace

std::unique_ptr<Source> open_monolithic(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options) {
  return std::make_unique<Monolithic>(std::move(file), std::move(info), options);
}

}  // namespace ups::data
