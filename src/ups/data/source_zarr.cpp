// zarr: UPS's grid stores. A group holds fields/NAME [T, X(, Y), C], time [T] and, if it has them, coords [cells, axes]; the attributes kind
// and dt. The store itself is such a group and then one trajectory, or every such group in it is one, by name.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <filesystem>
#include <numeric>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/family.h"
#include "ups/data/source.h"
#include "ups/io/zarr.h"

namespace ups::data {
namespace {

class ZarrSource final : public Source {
 public:
  ZarrSource(const std::string& path, const SourceOptions& options) : store_(path, options.limits.max_dataset_bytes) {
    info_.path = path;
    info_.format = "zarr";
    label_ = std::filesystem::path(path).filename().string();
    if (store_.is_group("fields")) {
      groups_ = {""};
    } else {
      for (const std::string& c : store_.children("")) {
        if (store_.is_group(c + "/fields")) groups_.push_back(c);
      }
    }
    if (groups_.empty()) throw data_error(path, "expected groups with fields/, found none");
    read_attributes();
    const Family family = find_family(path, "zarr", info_.attributes, options.tasks);
    info_.family = family.name;
    info_.known_family = family.known;
    info_.params = file_params(path, info_.attributes);
    for (const std::string& g : groups_) open_group(g);
    read_axes();
    read_times();
    info_.trajectories = static_cast<int64_t>(groups_.size());
    info_.ids.resize(groups_.size());
    std::iota(info_.ids.begin(), info_.ids.end(), int64_t{0});
    info_.boundary = family_boundary(info_.family, path, info_.grid.size());
  }

  void read(int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) override {
    const auto cells = static_cast<size_t>(info_.cells()), frame = cells * static_cast<size_t>(info_.channels);
    size_t done = 0;  // channels
    std::vector<float> block;
    for (const auto& field : fields_[static_cast<size_t>(i)]) {
      std::vector<int64_t> start(field->info().shape.size(), 0), step(start.size(), 1), n = field->info().shape;
      start[0] = first;
      step[0] = stride;
      n[0] = count;
      const auto parts = static_cast<size_t>(n.back());
      block.resize(static_cast<size_t>(count) * cells * parts);
      field->read(start, step, n, block);
      for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
        for (size_t c = 0; c < parts; ++c) {
          for (size_t x = 0; x < cells; ++x) out[t * frame + (done + c) * cells + x] = block[(t * cells + x) * parts + c];
        }
      }
      done += parts;
    }
  }

  std::string object(int64_t i) const override { return "/" + below(groups_[static_cast<size_t>(i)], "fields"); }

 private:
  static std::string below(const std::string& group, const std::string& name) { return group.empty() ? name : group + "/" + name; }

  void read_attributes() {
    for (const auto& [name, value] : store_.numbers(groups_[0])) info_.attributes.push_back({name, {value}, {}});
    for (const auto& [name, value] : store_.texts(groups_[0])) {
      info_.attributes.push_back({name, {}, {value}});
      if (name == "kind" && value != "grid") {
        throw data_error(info_.path, fmt::format("kind: expected grid, found {}", escape_text(value.substr(0, 32))), "meshes and particles are not supported");
      }
    }
  }

  void open_group(const std::string& group) {
    const std::string place = label_ + "/" + below(group, "fields");
    auto& fields = fields_.emplace_back();
    std::vector<std::string> names;
    int64_t frames = 0, channels = 0;
    std::vector<int64_t> grid;
    for (const std::string& name : store_.children(below(group, "fields"))) {
      fields.push_back(store_.array(below(group, "fields/" + name)));
      const std::vector<int64_t>& s = fields.back()->info().shape;
      const bool fits = s.size() >= 3 && s.size() <= 5 && fields.back()->info().elements > 0 && s.back() <= 64;
      const std::vector<int64_t> cells = fits ? std::vector<int64_t>(s.begin() + 1, s.end() - 1) : std::vector<int64_t>();
      if (!fits || (fields.size() > 1 && (s[0] != frames || cells != grid))) {
        throw data_error(place + "/" + name, fmt::format("expected shape (T, X, C) or (T, H, W, C), equal in all fields, found ({})", fmt::join(s, ", ")));
      }
      frames = s[0];
      grid = cells;
      channels += s.back();
      for (int64_t c = 0; c < s.back(); ++c) names.push_back(escape_text(name) + (s.back() > 1 ? std::to_string(c) : ""));
    }
    if (channels < 1 || channels > 64) throw data_error(place, fmt::format("expected 1 to 64 channels, found {}", channels));
    if (fields_.size() == 1) {
      info_.frames = frames;
      info_.grid = grid;
      info_.channels = channels;
      info_.channel_names = names;
    } else if (frames != info_.frames || grid != info_.grid || names != info_.channel_names) {
      throw data_error(place, "expected the fields and shapes of the first group, found others");
    }
    for (const auto& f : fields) info_.bytes += f->info().elements * (f->info().dtype[2] - '0');
  }

  // coords lists every cell, the last axis fastest; other orders are not guessed: then, as without coords, cell centres of the unit box.
  void read_axes() {
    const size_t axes = info_.grid.size();
    const std::string object = below(groups_[0], "coords");
    for (const int64_t n : info_.grid) {
      std::vector<double>& x = info_.coords.emplace_back();
      for (int64_t i = 0; i < n; ++i) x.push_back((static_cast<double>(i) + 0.5) / static_cast<double>(n));
    }
    if (!store_.is_array(object)) return;
    const auto array = store_.array(object);
    const std::vector<int64_t> expected{info_.cells(), static_cast<int64_t>(axes)};
    const std::vector<double> all = array->info().shape == expected ? array->read_all(int64_t{1} << 24) : std::vector<double>();
    std::vector<std::vector<double>> coords(axes);
    int64_t step = info_.cells();
    bool good = !all.empty();
    for (size_t a = 0; a < axes && good; ++a) {
      step /= info_.grid[a];
      for (int64_t i = 0; i < info_.grid[a]; ++i) coords[a].push_back(all[static_cast<size_t>(i * step) * axes + a]);
      for (size_t i = 0; i < coords[a].size(); ++i) good = good && std::isfinite(coords[a][i]) && (i == 0 || coords[a][i] > coords[a][i - 1]);
      for (size_t cell = 0; cell < all.size() / axes; ++cell) {
        good = good && all[cell * axes + a] == coords[a][cell / static_cast<size_t>(step) % static_cast<size_t>(info_.grid[a])];
      }
    }
    if (good) info_.coords = std::move(coords);
    else info_.notes.push_back("coords is not an ascending grid with the last axis fastest: unit box assumed");
  }

  void read_times() {
    for (size_t g = 0; g < groups_.size(); ++g) {
      const std::string object = below(groups_[g], "time"), place = label_ + "/" + object;
      const auto array = store_.array(object);
      if (array->info().elements != info_.frames) throw data_error(place, fmt::format("expected {} times, found {}", info_.frames, array->info().elements));
      const std::vector<double> t = array->read_all();
      const double dt = uniform_step(t, place);
      if (g == 0) info_.time = t;
      const double first = info_.frames > 1 ? (info_.time.back() - info_.time.front()) / static_cast<double>(info_.frames - 1) : 0;
      if (std::abs(dt - first) > 1e-4 * first) throw data_error(place, fmt::format("expected time steps of {:.6g} as in the first group, found {:.6g}", first, dt));
    }
  }

  io::ZarrStore store_;
  std::string label_;
  std::vector<std::string> groups_;
  std::vector<std::vector<std::unique_ptr<io::ZarrArray>>> fields_;  // per group
};

}  // namespace

std::unique_ptr<Source> open_zarr(const std::string& path, const SourceOptions& options) {
  return std::make_unique<ZarrSource>(path, options);
}

}  // namespace ups::data
