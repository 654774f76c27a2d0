#include "ups/data/well_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/files.h"
#include "ups/data/source.h"
#include "ups/data/well_boundary.h"

namespace ups::data {
namespace {

constexpr size_t kMostFields = 64;

// The attributes of one object, by name.
class Attributes {
 public:
  Attributes(const io::H5File& file, const std::string& object) : place_(base_name(file.path()) + ":" + object) {
    for (io::H5Attribute& a : file.attributes(object)) all_.emplace(a.name, std::move(a));
  }
  // h5py stores an empty list as an empty array of numbers, which has no texts: the same as none.
  std::vector<std::string> texts(const std::string& name) const {
    const auto it = all_.find(name);
    return it == all_.end() ? std::vector<std::string>() : it->second.texts;
  }
  std::string text(const std::string& name) const {
    const std::vector<std::string> t = texts(name);
    if (t.size() != 1) throw data_error(place_, fmt::format("expected the text attribute '{}', found {}", name, t.empty() ? "none" : "several"));
    return t[0];
  }
  std::vector<double> numbers(const std::string& name) const {
    const auto it = all_.find(name);
    return it == all_.end() ? std::vector<double>() : it->second.numbers;
  }
  double number(const std::string& name) const {
    const std::vector<double> n = numbers(name);
    if (n.size() != 1) throw data_error(place_, fmt::format("expected one number in the attribute '{}', found {}", name, n.size()));
    return n[0];
  }
  bool flag(const std::string& name) const { return number(name) != 0; }

 private:
  std::string place_;
  std::map<std::string, io::H5Attribute> all_;
};

// Names come from the file and become paths in it.
void check_names(const std::vector<std::string>& names, const std::string& place) {
  if (names.size() > kMostFields) throw data_error(place, fmt::format("expected at most {} names, found {}", kMostFields, names.size()));
  for (const std::string& n : names) {
    if (n.empty() || n.find('/') != std::string::npos || n == ".") {
      throw data_error(place, fmt::format("expected names of members, found '{}'", escape_text(n)));
    }
  }
}

class Reader {
 public:
  explicit Reader(const io::H5File& file) : file_(file), label_(base_name(file.path())), root_(file, "/") {}

  WellLayout read() {
    const std::string grid = lower(root_.text("grid_type"));
    if (grid != "cartesian") {
      throw data_error(label_ + ":/", fmt::format("grid_type: expected cartesian, found {}", escape_text(grid)),
                       "other coordinates are not supported yet");
    }
    out_.name = escape_text(root_.text("dataset_name"));
    out_.trajectories = count(root_.number("n_trajectories"), "n_trajectories");
    read_dimensions();
    read_time_axis();
    read_params();
    for (int order = 0; order <= 2; ++order) read_group(order);
    if (out_.varying.empty()) throw data_error(label_ + ":/", "expected at least one field that varies in time, found none");
    out_.boundary = well_boundary(file_, dims_, out_.grid, out_.notes);
    return std::move(out_);
  }

 private:
  int64_t count(double value, const char* name) const {
    if (!(value >= 1 && value < 0x1p31) || value != std::floor(value)) {
      throw data_error(label_ + ":/", fmt::format("{}: expected a count of at least 1, found {}", name, value));
    }
    return static_cast<int64_t>(value);
  }

  void read_dimensions() {
    const std::string group = "/dimensions";
    dims_ = Attributes(file_, group).texts("spatial_dims");
    check_names(dims_, label_ + ":" + group);
    const int64_t n = count(root_.number("n_spatial_dims"), "n_spatial_dims");
    if (n > 3 || static_cast<int64_t>(dims_.size()) != n) {
      throw data_error(label_ + ":" + group, fmt::format("expected {} names in spatial_dims as n_spatial_dims says (at most 3), found {}", n,
                                                         dims_.size()));
    }
    for (const std::string& d : dims_) {
      const std::string object = group + "/" + d;
      if (varies(object)) throw data_error(label_ + ":" + object, "expected one grid for all trajectories, found sample_varying");
      const int64_t cells = file_.dataset(object)->info().elements;
      if (cells < 1) throw data_error(label_ + ":" + object, "expected at least one coordinate, found none");
      out_.grid.push_back(cells);
      out_.coords.push_back(read_axis(file_, object, cells));
    }
  }

  bool varies(const std::string& object) const {
    const std::vector<double> v = Attributes(file_, object).numbers("sample_varying");
    return v.size() == 1 && v[0] != 0;
  }

  // [T], or [N, T] if every trajectory has its own times: then all must have the same steps.
  void read_time_axis() {
    const std::string object = "/dimensions/time", place = label_ + ":" + object;
    const auto d = file_.dataset(object);
    const std::vector<int64_t>& shape = d->info().shape;
    const size_t rank = varies(object) ? 2 : 1;
    if (shape.size() != rank || d->info().elements < 1 || (rank == 2 && shape[0] != out_.trajectories)) {
      throw data_error(place, fmt::format("expected shape {}, found ({})", rank == 1 ? "(T)" : "(N, T)", fmt::join(shape, ", ")));
    }
    out_.frames = shape.back();
    const std::vector<double> all = d->read_all(int64_t{1} << 24);
    const auto row = [&](int64_t i) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(i * out_.frames);
      return std::vector<double>(first, first + static_cast<std::ptrdiff_t>(out_.frames));
    };
    out_.time = row(0);
    const double dt = uniform_step(out_.time, place);
    for (int64_t i = 1; rank == 2 && i < out_.trajectories; ++i) {
      const double other = uniform_step(row(i), place);
      if (std::abs(other - dt) > 1e-4 * dt) {
        throw data_error(place, fmt::format("expected time steps of {:.6g} in every trajectory, found {:.6g} in number {}", dt, other, i));
      }
    }
  }

  void read_params() {
    std::vector<std::string> names = root_.texts("simulation_parameters");
    check_names(names, label_ + ":/");
    for (const std::string& n : names) {
      const std::vector<double> value = root_.numbers(n);
      if (value.size() == 1 && std::isfinite(value[0])) out_.params[lower(escape_text(n))] = value[0];
    }
  }

  void read_group(int order) {
    const std::string group = fmt::format("/t{}_fields", order);
    if (!file_.contains(group)) return;
    const std::vector<std::string> names = Attributes(file_, group).texts("field_names");
    check_names(names, label_ + ":" + group);
    for (const std::string& n : names) {
      WellField f = read_field(group + "/" + n, n, order);
      if (!f.time_varying) out_.notes.push_back(fmt::format("{} does not change in time: read as a coefficient", escape_text(n)));
      std::vector<WellField>& list = f.time_varying ? out_.varying : out_.constant;
      list.push_back(std::move(f));
    }
  }

  WellField read_field(const std::string& object, const std::string& name, int order) {
    const Attributes a(file_, object);
    WellField f;
    f.object = object;
    f.sample_varying = a.flag("sample_varying");
    f.time_varying = a.flag("time_varying");
    f.shape = file_.dataset(object)->info().shape;
    const std::vector<double> dim_varying = a.numbers("dim_varying");
    if (dim_varying.size() != dims_.size()) {
      throw data_error(label_ + ":" + object, fmt::format("dim_varying: expected {} flags, found {}", dims_.size(), dim_varying.size()));
    }
    name_channels(f, name, order);
    if (!place_axes(f, dim_varying, order, true) && !place_axes(f, dim_varying, order, false)) {
      throw data_error(label_ + ":" + object, fmt::format("expected shape ({}), found ({})", expected(f, dim_varying, order),
                                                          fmt::join(f.shape, ", ")));
    }
    return f;
  }

  // "velocity" of order 1 on x, y: velocity_x, velocity_y.
  void name_channels(WellField& f, const std::string& name, int order) const {
    f.channels = {escape_text(name) + (order > 0 ? "_" : "")};
    for (int k = 0; k < order; ++k) {
      std::vector<std::string> longer;
      for (const std::string& c : f.channels) {
        for (const std::string& d : dims_) longer.push_back(c + escape_text(d));
      }
      f.channels = std::move(longer);
    }
  }

  // Matches the stored shape; axes along which the field does not vary are kept with length 1, or left out.
  bool place_axes(WellField& f, const std::vector<double>& dim_varying, int order, bool kept) const {
    size_t axis = 0;
    const auto take = [&](int64_t length) { return axis < f.shape.size() && f.shape[axis++] == length; };
    f.sample_axis = axis;
    if (f.sample_varying && !take(out_.trajectories)) return false;
    f.time_axis = axis;
    if (f.time_varying && !take(out_.frames)) return false;
    std::vector<int64_t> stored;
    for (size_t d = 0; d < dims_.size(); ++d) {
      const bool varies = dim_varying[d] != 0;
      stored.push_back(varies ? out_.grid[d] : 1);
      if ((varies || kept) && !take(stored.back())) return false;
    }
    const auto dims = static_cast<int64_t>(dims_.size());
    const bool flat = order == 2 && f.shape.size() == axis + 1;  // D^2 in one axis
    if (flat && !take(dims * dims)) return false;
    for (int k = 0; !flat && k < order; ++k) {
      if (!take(dims)) return false;
    }
    if (axis != f.shape.size()) return false;
    place_cells(f, stored);
    return true;
  }

  void place_cells(WellField& f, const std::vector<int64_t>& stored) const {
    f.cell_at.clear();
    f.stored_cells = 1;
    for (int64_t s : stored) f.stored_cells *= s;
    if (stored == out_.grid) return;
    int64_t cells = 1;
    for (int64_t g : out_.grid) cells *= g;
    f.cell_at.reserve(static_cast<size_t>(cells));
    for (int64_t cell = 0; cell < cells; ++cell) {
      int64_t rest = cell, at = 0, step = 1;
      for (size_t d = stored.size(); d-- > 0;) {
        if (stored[d] > 1) at += rest % out_.grid[d] * step;
        rest /= out_.grid[d];
        step *= stored[d];
      }
      f.cell_at.push_back(at);
    }
  }

  std::string expected(const WellField& f, const std::vector<double>& dim_varying, int order) const {
    std::vector<std::string> parts;
    if (f.sample_varying) parts.push_back(fmt::format("{} trajectories", out_.trajectories));
    if (f.time_varying) parts.push_back(fmt::format("{} times", out_.frames));
    for (size_t d = 0; d < dims_.size(); ++d) parts.push_back(fmt::format("{}", dim_varying[d] != 0 ? out_.grid[d] : 1));
    for (int k = 0; k < order; ++k) parts.push_back(fmt::format("{} components", dims_.size()));
    return join(parts, ", ");
  }

  const io::H5File& file_;
  std::string label_;
  Attributes root_;
  std::vector<std::string> dims_;
  WellLayout out_;
};

}  // namespace

WellLayout read_well_layout(const io::H5File& file) { return Reader(file).read(); }

}  // namespace ups::data
