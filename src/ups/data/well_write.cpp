#include "ups/data/well_write.h"

#include <algorithm>

namespace ups::data {
namespace {

using Texts = std::vector<std::string>;
using Flags = std::vector<bool>;

std::string plain(std::string name) {
  std::replace(name.begin(), name.end(), '/', '_');
  return name == "." || name.empty() ? "_" : name;
}

const char* kind_of(Boundary b) { return b == Boundary::periodic ? "PERIODIC" : b == Boundary::open ? "OPEN" : "WALL"; }

std::string object_of(const std::string& channel) { return "/t0_fields/" + plain(channel); }

class HeaderWriter {
 public:
  HeaderWriter(io::H5Writer& file, const WellHeader& header) : file_(file), h_(header) {
    for (size_t a = 0; a < h_.coords.size(); ++a) dims_.emplace_back(1, "xyz"[a]);
  }

  void write() {
    root();
    dimensions();
    boundaries();
    scalars();
    fields();
  }

 private:
  void root() {
    Texts names;
    for (const auto& [name, value] : h_.params) {
      names.push_back(name);
      file_.attribute("/", name, value);
    }
    file_.text("/", "dataset_name", h_.name);
    file_.text("/", "grid_type", "cartesian");
    file_.attribute("/", "n_spatial_dims", static_cast<int64_t>(dims_.size()));
    file_.attribute("/", "n_trajectories", h_.trajectories);
    file_.texts("/", "simulation_parameters", names);
  }

  void axis(const std::string& name, const std::vector<double>& values) {
    const std::string object = "/dimensions/" + name;
    file_.dataset(object, {static_cast<int64_t>(values.size())}, io::H5Number::f64);
    file_.write(object, values);
    varies(object, false, name == "time");
  }

  void dimensions() {
    file_.group("/dimensions");
    file_.texts("/dimensions", "spatial_dims", dims_);
    axis("time", h_.time);
    for (size_t a = 0; a < dims_.size(); ++a) axis(dims_[a], h_.coords[a]);
  }

  // One condition per axis and kind: a mask along the axis with its ends.
  void boundaries() {
    file_.group("/boundary_conditions");
    for (size_t a = 0; a < dims_.size(); ++a) {
      const std::string ends[] = {kind_of(h_.boundary[2 * a]), kind_of(h_.boundary[2 * a + 1])};
      for (const std::string kind : {"PERIODIC", "OPEN", "WALL"}) {
        if (ends[0] != kind && ends[1] != kind) continue;
        const std::string group = "/boundary_conditions/" + dims_[a] + "_" + kind;
        file_.group(group);
        file_.texts(group, "associated_dims", {dims_[a]});
        file_.texts(group, "associated_fields", {});
        file_.text(group, "bc_type", kind);
        varies(group, false, false);
        Flags mask(h_.coords[a].size(), false);
        if (ends[0] == kind) mask.front() = true;
        if (ends[1] == kind) mask.back() = true;
        file_.flag_dataset(group + "/mask", mask);
      }
    }
  }

  void scalars() {
    file_.group("/scalars");
    Texts names;
    for (const auto& [name, value] : h_.params) {
      const std::string object = "/scalars/" + plain(name);
      names.push_back(plain(name));
      file_.dataset(object, {}, io::H5Number::f64);
      file_.write(object, std::vector<double>{value});
      varies(object, false, false);
    }
    file_.texts("/scalars", "field_names", names);
  }

  void fields() {
    for (const char* group : {"/t0_fields", "/t1_fields", "/t2_fields"}) file_.group(group);
    for (const char* group : {"/t1_fields", "/t2_fields"}) file_.texts(group, "field_names", {});
    Texts names;
    for (const bool time : {true, false}) {
      for (const std::string& channel : time ? h_.varying : h_.constant) {
        const std::string object = object_of(channel);
        std::vector<int64_t> shape{h_.trajectories};
        if (time) shape.push_back(static_cast<int64_t>(h_.time.size()));
        for (const auto& c : h_.coords) shape.push_back(static_cast<int64_t>(c.size()));
        file_.dataset(object, shape, io::H5Number::f32);
        varies(object, true, time);
        file_.flags(object, "dim_varying", Flags(dims_.size(), true));
        names.push_back(plain(channel));
      }
    }
    file_.texts("/t0_fields", "field_names", names);
  }

  void varies(const std::string& object, bool sample, bool time) {
    file_.flag(object, "sample_varying", sample);
    file_.flag(object, "time_varying", time);
  }

  io::H5Writer& file_;
  const WellHeader& h_;
  Texts dims_;
};

}  // namespace

WellFile::WellFile(io::H5Writer& file, WellHeader header) : file_(file), h_(std::move(header)) {
  for (const auto& c : h_.coords) {
    grid_.push_back(static_cast<int64_t>(c.size()));
    cells_ *= c.size();
  }
  HeaderWriter(file_, h_).write();
}

void WellFile::block(const std::string& channel, std::vector<int64_t> start, std::vector<int64_t> count, std::span<const float> values) {
  start.resize(start.size() + grid_.size(), 0);
  count.insert(count.end(), grid_.begin(), grid_.end());
  file_.write_block(object_of(channel), start, count, values);
}

void WellFile::constants(int64_t trajectory, std::span<const float> values) {
  for (size_t c = 0; c < h_.constant.size(); ++c) block(h_.constant[c], {trajectory}, {1}, values.subspan(c * cells_, cells_));
}

void WellFile::frames(int64_t trajectory, int64_t first, int64_t count, std::span<const float> values) {
  const size_t channels = h_.varying.size();
  std::vector<float> one(static_cast<size_t>(count) * cells_);
  for (size_t c = 0; c < channels; ++c) {
    for (size_t f = 0; f < static_cast<size_t>(count); ++f) std::copy_n(&values[(f * channels + c) * cells_], cells_, &one[f * cells_]);
    block(h_.varying[c], {trajectory, first}, {1, count}, one);
  }
}

}  // namespace ups::data
