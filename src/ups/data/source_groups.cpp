// pdebench_group: one numbered group per trajectory, each with data [T, X(, Y), C] and grid/{t, x, y}.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <list>
#include <map>
#include <mutex>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/family.h"
#include "ups/data/source.h"

namespace ups::data {
namespace {

using Shape = std::vector<int64_t>;

class Groups final : public Source {
 public:
  Groups(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options) : file_(std::move(file)) {
    info_ = std::move(info);
    label_ = std::filesystem::path(info_.path).filename().string();
    list_groups();
    const std::unique_ptr<io::H5Dataset> first = file_->dataset(object(0));
    shape_ = first->info().shape;
    const std::string grid = "/" + names_[0] + "/grid/";
    size_t axes = 0;
    while (axes < 3 && file_->contains(grid + "xyz"[axes])) ++axes;
    if (axes == 0) throw data_error(label_ + ":" + grid + "x", "expected the coordinates of the cells, found nothing");
    set_shape(axes, options.field_name);
    set_axes(grid, axes);
    info_.time = read_time(*file_, grid + "t", info_.frames);
    info_.boundary = family_boundary(info_.family, info_.path, axes);
  }

  void read(int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) override {
    Shape start(shape_.size(), 0), step(shape_.size(), 1), n = shape_;
    start[0] = first;
    step[0] = stride;
    n[0] = count;
    const size_t frame = static_cast<size_t>(info_.cells() * info_.channels);
    const bool plain = info_.channels == 1 && !y_first_;
    std::vector<float> block(plain ? 0 : frame * static_cast<size_t>(count));
    {
      const std::lock_guard<std::recursive_mutex> lock(io::hdf5_lock());
      opened(i).read(start, step, n, plain ? out : std::span<float>(block));
    }
    if (!plain) permute(block, count, out);
  }

  std::string object(int64_t i) const override { return "/" + names_[static_cast<size_t>(i)] + "/data"; }

 private:
  void list_groups() {
    std::map<int64_t, std::string> numbered;  // sorts by value: zero padding is not to be trusted
    for (const io::H5Link& l : file_->children("/")) {
      const bool digits = !l.name.empty() && l.name.size() <= 15 &&
                          std::all_of(l.name.begin(), l.name.end(), [](char c) { return c >= '0' && c <= '9'; });
      if (!digits || l.kind != io::H5Kind::group) {
        throw data_error(label_ + ":/" + l.name, "expected groups named by numbers only (0000, 0001, ..), found another object",
                         "move it below a file of its own");
      }
      const int64_t id = std::atoll(l.name.c_str());
      const auto added = numbered.emplace(id, l.name);
      if (!added.second) {
        throw data_error(label_ + ":/" + l.name, fmt::format("expected one group of number {}, found /{} as well", id,
            added.first->second));
      }
    }
    if (numbered.empty()) throw data_error(label_ + ":/", "expected at least one numbered group, found none");
    for (auto& entry : numbered) {
      info_.ids.push_back(entry.first);
      names_.push_back(std::move(entry.second));
    }
    info_.trajectories = static_cast<int64_t>(names_.size());
  }

  void set_shape(size_t axes, const std::string& field_name) {
    const size_t rank = shape_.size();
    const bool has_channels = rank >= axes + 2;
    const bool fits = rank == axes + 1 || rank == axes + 2 || (rank == axes + 3 && shape_.back() == 1);
    if (!fits) {
      throw data_error(label_ + ":" + object(0), fmt::format("expected shape (T, {}C) as grid/ has {} axes, found ({})",
                                                             axes == 1 ? "X, " : axes == 2 ? "X, Y, " : "X, Y, Z, ", axes,
                                                             fmt::join(shape_, ", ")));
    }
    info_.frames = shape_[0];
    info_.channels = has_channels ? shape_[axes + 1] : 1;
    info_.grid.assign(shape_.begin() + 1, shape_.begin() + 1 + static_cast<std::ptrdiff_t>(axes));
    if (info_.frames < 1 || info_.cells() < 1 || info_.channels < 1 || info_.channels > 64) {
      throw data_error(label_ + ":" + object(0), fmt::format("expected frames, cells and 1 to 64 channels, found shape ({})",
                                                             fmt::join(shape_, ", ")));
    }
    info_.channel_names = channel_names(info_.family, info_.channels, field_name);
  }

  // Grid lengths tell the axis order of files that are not square; the family does for square ones (data.md, trap 5).
  void set_axes(const std::string& grid, size_t axes) {
    Shape lengths;
    for (size_t a = 0; a < axes; ++a) lengths.push_back(file_->dataset(grid + "xyz"[a])->info().elements);
    if (axes == 2) {
      const bool xy = lengths == info_.grid, yx = lengths == Shape{info_.grid[1], info_.grid[0]};
      y_first_ = xy && yx ? stores_y_first(info_.family) : yx;
      if (y_first_) std::swap(info_.grid[0], info_.grid[1]);
    }
    for (size_t a = 0; a < axes; ++a) info_.coords.push_back(read_axis(*file_, grid + "xyz"[a], info_.grid[a]));
  }

  io::H5Dataset& opened(int64_t i) {
    for (auto it = open_.begin(); it != open_.end(); ++it) {
      if (it->first == i) {
        open_.splice(open_.begin(), open_, it);
        return *open_.front().second;
      }
    }
    std::unique_ptr<io::H5Dataset> d = file_->dataset(object(i));
    if (d->info().shape != shape_) {
      throw data_error(label_ + ":" + object(i), fmt::format("expected shape ({}) as the first group, found ({})",
                                                             fmt::join(shape_, ", "), fmt::join(d->info().shape, ", ")));
    }
    open_.emplace_front(i, std::move(d));
    if (open_.size() > 4) open_.pop_back();
    return *open_.front().second;
  }

  void permute(const std::vector<float>& block, int64_t count, std::span<float> out) const {
    const size_t channels = static_cast<size_t>(info_.channels), cells = static_cast<size_t>(info_.cells());
    const size_t nx = static_cast<size_t>(info_.grid[0]), rest = cells / nx;
    for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
      const float* in = block.data() + t * cells * channels;
      float* to = out.data() + t * cells * channels;
      for (size_t c = 0; c < channels; ++c) {
        for (size_t x = 0; x < nx; ++x) {
          for (size_t y = 0; y < rest; ++y) {
            const size_t from = y_first_ ? y * nx + x : x * rest + y;
            to[c * cells + x * rest + y] = in[from * channels + c];
          }
        }
      }
    }
  }

  std::unique_ptr<io::H5File> file_;
  std::string label_;
  std::vector<std::string> names_;
  Shape shape_;
  bool y_first_ = false;
  std::list<std::pair<int64_t, std::unique_ptr<io::H5Dataset>>> open_;  // last used first; guarded by hdf5_lock()
};

}  // namespace

std::unique_ptr<Source> open_groups(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options) {
  return std::make_unique<Groups>(std::move(file), std::move(info), options);
}

}  // namespace ups::data
