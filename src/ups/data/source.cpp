#include "ups/data/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/family.h"

namespace ups::data {
namespace {

bool is_number(const std::string& name) {
  return !name.empty() && name.size() <= 15 && std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; });
}

Error unsupported(const std::string& path, std::string_view format) {
  return data_error(path,
      fmt::format("format {} is not supported yet; expected pdebench, pdebench_darcy, pdebench_cfd, pdebench_group, "
                                      "well, zarr or ups_h5", format));
}

}  // namespace

void Source::read_coeff(int64_t, std::span<float>) {}

std::string detect_format(const io::H5File& file) {
  const std::vector<io::H5Link> root = file.children("/");
  const auto has = [&](std::string_view name, io::H5Kind kind) {
    return std::any_of(root.begin(), root.end(), [&](const io::H5Link& l) { return l.name == name && l.kind == kind; });
  };
  const auto dataset = [&](std::string_view name) { return has(name, io::H5Kind::dataset); };
  if (has("t0_fields", io::H5Kind::group)) {
    for (const io::H5Attribute& a : file.attributes("/")) {
      if (a.name == "n_spatial_dims") return "well";
    }
  }
  if (dataset("velocity") && dataset("particles")) return "pdebench_ns";
  if (dataset("tensor")) return dataset("nu") ? "pdebench_darcy" : "pdebench";
  if (dataset("density") && dataset("pressure") && dataset("Vx")) return "pdebench_cfd";
  const bool only_groups = std::all_of(root.begin(), root.end(), [](const io::H5Link& l) { return l.kind == io::H5Kind::group; });
  if (only_groups && std::any_of(root.begin(), root.end(), [&](const io::H5Link& l) {
        return is_number(l.name) && file.contains("/" + l.name + "/data");
      })) {
    return "pdebench_group";
  }
  if (dataset("data")) return "ups_h5";
  std::vector<std::string> names;
  for (const io::H5Link& l : root) {
    if (names.size() < 8) names.push_back(l.name + (l.kind == io::H5Kind::group ? "/" : ""));
  }
  throw data_error(std::filesystem::path(file.path()).filename().string() + ":/",
                   fmt::format("expected one of the known layouts (tensor; density, pressure, Vx; numbered groups with data; t0_fields; data), "
                               "found {}{}", names.empty() ? "nothing" : join(names, ", "),
                                   root.size() > names.size() ? ", .." : ""));
}

std::vector<double> read_axis(const io::H5File& file, const std::string& object, int64_t n) {
  const std::string place = std::filesystem::path(file.path()).filename().string() + ":" + object;
  const std::unique_ptr<io::H5Dataset> d = file.dataset(object);
  if (d->info().elements != n) throw data_error(place, fmt::format("expected {} coordinates, found {}", n, d->info().elements));
  std::vector<double> x = d->read_all();
  for (double v : x) {
    if (!std::isfinite(v)) throw data_error(place, fmt::format("expected finite coordinates, found {}", v));
  }
  for (size_t i = 1; i < x.size(); ++i) {
    if (!(x[i] > x[i - 1]))
      throw data_error(place, fmt::format("expected ascending coordinates, found {} after {}", x[i], x[i - 1]));
  }
  return x;
}

double uniform_step(const std::vector<double>& t, const std::string& place) {
  for (double v : t) {
    if (!std::isfinite(v)) throw data_error(place, fmt::format("expected finite times, found {}", v));
  }
  if (t.size() < 2) return 0;
  const double dt = (t.back() - t.front()) / static_cast<double>(t.size() - 1);
  const double slack = 1e-4 * std::abs(dt) + 2.5e-7 * std::max(std::abs(t.front()), std::abs(t.back()));  // fp32 rounding of t itself
  for (size_t i = 1; i < t.size(); ++i) {
    if (!(dt > 0) || std::abs(t[i] - t[i - 1] - dt) > slack) {
      throw data_error(place, fmt::format("expected uniform time steps of {:.6g}, found {:.6g} at index {}", dt,
          t[i] - t[i - 1], i));
    }
  }
  return dt;
}

std::vector<double> read_time(const io::H5File& file, const std::string& object, int64_t n) {
  const std::string place = std::filesystem::path(file.path()).filename().string() + ":" + object;
  if (!file.contains(object)) throw data_error(place, "expected a time axis, found nothing");
  const std::unique_ptr<io::H5Dataset> d = file.dataset(object);
  if (d->info().elements != n && d->info().elements != n + 1) {
    throw data_error(place, fmt::format("expected {} or {} times, found {}", n, n + 1, d->info().elements));
  }
  std::vector<double> t = d->read_all();
  t.resize(static_cast<size_t>(n));
  uniform_step(t, place);
  return t;
}

void Source::believe_attributes() {
  const auto find = [&](std::string_view name) -> const io::H5Attribute* {
    for (const io::H5Attribute& a : info_.attributes) {
      if (a.name == name) return &a;
    }
    return nullptr;
  };
  const auto list = [&](std::string_view name) {
    const io::H5Attribute* a = find(name);
    return a && a->texts.size() == 1 && !a->texts[0].empty() ? split(a->texts[0], ',') : std::vector<std::string>();
  };
  std::vector<std::string> channels = list("channels");
  if (static_cast<int64_t>(channels.size()) == info_.channels) {
    for (size_t c = 0; c < channels.size(); ++c) info_.channel_names[c] = escape_text(channels[c]);
  }
  const std::vector<std::string> sides = list("boundary");
  if (sides.size() == 1 || (sides.size() == info_.boundary.size() && !sides.empty())) {
    std::vector<Boundary> kinds;
    for (size_t k = 0; k < info_.boundary.size(); ++k) {
      for (int b = 0; b <= static_cast<int>(Boundary::unknown); ++b) {
        if (sides[sides.size() == 1 ? 0 : k] == to_string(static_cast<Boundary>(b))) kinds.push_back(static_cast<Boundary>(b));
      }
    }
    if (kinds.size() == info_.boundary.size()) info_.boundary = kinds;
    else info_.notes.push_back("attribute boundary: not names of boundary conditions, left aside");
  }
  for (const std::string& name : list("parameters")) {
    const io::H5Attribute* a = find(name);
    if (a && a->numbers.size() == 1 && std::isfinite(a->numbers[0])) info_.params.emplace(lower(escape_text(name)), a->numbers[0]);
  }
  const io::H5Attribute* first = find("first_trajectory");
  const bool numbered = info_.format != "pdebench_group" && first && first->numbers.size() == 1 && first->numbers[0] >= 0 && first->numbers[0] < 0x1p31;
  for (int64_t& id : info_.ids) id += numbered ? static_cast<int64_t>(first->numbers[0]) : 0;
}

// By the layout alone; what the attributes say on top of it is read by open_source.
static std::unique_ptr<Source> open_layout(const std::string& path, const SourceOptions& options) {
  namespace fs = std::filesystem;
  std::error_code ec;
  if (fs::is_directory(path, ec)) {
    const bool zarr = fs::exists(fs::path(path) / ".zgroup", ec) || fs::exists(fs::path(path) / "zarr.json", ec);
    if (!zarr) throw data_error(path, "expected an HDF5 file or a Zarr store, found another directory");
    return open_zarr(path, options);
  }
  std::unique_ptr<io::H5File> file = io::H5File::open(path, options.limits);
  file->walk();  // links and cycles of the whole file, before any of it is believed
  SourceInfo info;
  info.path = path;
  info.bytes = file->bytes();
  info.format = options.format == "auto" ? detect_format(*file) : options.format;
  info.attributes = file->attributes("/");
  if (info.format == "well") return open_well(std::move(file), std::move(info));
  if (info.format == "zarr") throw data_error(path, "expected a Zarr store, found a file");
  if (info.format == "pdebench_ns") throw unsupported(path, info.format);
  const Family family = find_family(path, info.format, info.attributes, options.tasks);
  info.family = family.name;
  info.known_family = family.known;
  info.params = file_params(path, info.attributes);
  return info.format == "pdebench_group" ? open_groups(std::move(file), std::move(info), options) : open_monolithic(std::move(file), std::move(info), options);
}

std::unique_ptr<Source> open_source(const std::string& path, const SourceOptions& options) {
  std::unique_ptr<Source> source = open_layout(path, options);
  source->believe_attributes();
  return source;
}

}  // namespace ups::data
