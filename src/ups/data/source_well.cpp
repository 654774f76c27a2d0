// The Well: one HDF5 file with groups of scalar, vector and tensor fields. Components become channels, in the order of the package
// the_well; fields that do not change in time become coefficients.
#include <algorithm>
#include <filesystem>
#include <numeric>

#include "ups/core/error.h"
#include "ups/data/source.h"
#include "ups/data/well_layout.h"

namespace ups::data {
namespace {

class Well final : public Source {
 public:
  Well(std::unique_ptr<io::H5File> file, SourceInfo info) : file_(std::move(file)) {
    info_ = std::move(info);
    WellLayout layout = read_well_layout(*file_);
    info_.family = layout.name;
    info_.known_family = false;
    info_.trajectories = layout.trajectories;
    info_.frames = layout.frames;
    info_.grid = std::move(layout.grid);
    info_.coords = std::move(layout.coords);
    info_.time = std::move(layout.time);
    info_.boundary = std::move(layout.boundary);
    info_.params = std::move(layout.params);
    info_.notes = std::move(layout.notes);
    info_.ids.resize(static_cast<size_t>(info_.trajectories));
    std::iota(info_.ids.begin(), info_.ids.end(), int64_t{0});
    info_.channels = open_fields(std::move(layout.varying), varying_, info_.channel_names);
    info_.coeff_channels = open_fields(std::move(layout.constant), constant_, info_.coeff_names);
  }

  void read(int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) override {
    read_fields(varying_, info_.channels, i, first, count, stride, out);
  }
  void read_coeff(int64_t i, std::span<float> out) override { read_fields(constant_, info_.coeff_channels, i, 0, 1, 1, out); }
  std::string object(int64_t i) const override { return varying_[0].field.object + "[" + std::to_string(i) + "]"; }

 private:
  struct Open {
    WellField field;
    std::unique_ptr<io::H5Dataset> data;
  };

  int64_t open_fields(std::vector<WellField> fields, std::vector<Open>& list, std::vector<std::string>& names) {
    for (WellField& f : fields) {
      names.insert(names.end(), f.channels.begin(), f.channels.end());
      std::unique_ptr<io::H5Dataset> data = file_->dataset(f.object);
      list.push_back({std::move(f), std::move(data)});
    }
    if (names.size() > 64) {
      throw data_error(std::filesystem::path(info_.path).filename().string() + ":/",
                       "expected at most 64 channels, found " + std::to_string(names.size()));
    }
    return static_cast<int64_t>(names.size());
  }

  void read_fields(std::vector<Open>& list, int64_t channels, int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) {
    const auto cells = static_cast<size_t>(info_.cells()), frame = cells * static_cast<size_t>(channels);
    float* channel = out.data();
    std::vector<float> block;
    for (Open& o : list) {
      const WellField& f = o.field;
      std::vector<int64_t> start(f.shape.size(), 0), step(f.shape.size(), 1), n = f.shape;
      if (f.sample_varying) start[f.sample_axis] = i, n[f.sample_axis] = 1;
      if (f.time_varying) start[f.time_axis] = first, step[f.time_axis] = stride, n[f.time_axis] = count;
      const size_t parts = f.channels.size(), stored = static_cast<size_t>(f.stored_cells) * parts;
      block.resize(static_cast<size_t>(count) * stored);
      o.data->read(start, step, n, block);
      for (size_t t = 0; t < static_cast<size_t>(count); ++t) {
        const float* in = block.data() + t * stored;
        for (size_t c = 0; c < parts; ++c) {
          float* to = channel + t * frame + c * cells;
          if (f.cell_at.empty()) {
            for (size_t x = 0; x < cells; ++x) to[x] = in[x * parts + c];
          } else {
            for (size_t x = 0; x < cells; ++x) to[x] = in[static_cast<size_t>(f.cell_at[x]) * parts + c];
          }
        }
      }
      channel += parts * cells;
    }
  }

  std::unique_ptr<io::H5File> file_;
  std::vector<Open> varying_, constant_;
};

}  // namespace

std::unique_ptr<Source> open_well(std::unique_ptr<io::H5File> file, SourceInfo info) {
  return std::make_unique<Well>(std::move(file), std::move(info));
}

}  // namespace ups::data
