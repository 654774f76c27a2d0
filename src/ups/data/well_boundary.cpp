#include "ups/data/well_boundary.h"

#include <fmt/format.h>

#include <algorithm>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/data/files.h"

namespace ups::data {
namespace {

Boundary kind_of(const std::string& text) {
  const std::string name = lower(text);
  return name == "periodic" ? Boundary::periodic : name == "open" ? Boundary::open : name == "wall" ? Boundary::wall : Boundary::unknown;
}

// The mask at the first or last index of axis k: whether any, and whether all of these cells are set.
struct Face {
  bool any = false, all = true;
};
Face face_of(const std::vector<double>& mask, const std::vector<int64_t>& shape, size_t k, bool last) {
  int64_t inner = 1;
  for (size_t a = k + 1; a < shape.size(); ++a) inner *= shape[a];
  Face face;
  for (size_t i = 0; i < mask.size(); ++i) {
    if (static_cast<int64_t>(i) / inner % shape[k] != (last ? shape[k] - 1 : 0)) continue;
    face.any = face.any || mask[i] != 0;
    face.all = face.all && mask[i] != 0;
  }
  return face;
}

std::vector<std::string> texts(const std::vector<io::H5Attribute>& all, std::string_view name) {
  for (const io::H5Attribute& a : all) {
    if (a.name == name) return a.texts;
  }
  return {};
}

}  // namespace

std::vector<Boundary> well_boundary(const io::H5File& file, const std::vector<std::string>& dims, const std::vector<int64_t>& grid,
                                    std::vector<std::string>& notes) {
  std::vector<Boundary> sides(2 * dims.size(), Boundary::open);
  const std::string group = "/boundary_conditions";
  if (!file.contains(group)) return sides;
  for (const io::H5Link& link : file.children(group)) {
    const std::string object = group + "/" + link.name, place = base_name(file.path()) + ":" + object;
    if (link.kind != io::H5Kind::group) throw data_error(place, "expected a group of one boundary condition, found another object");
    const std::vector<io::H5Attribute> attributes = file.attributes(object);
    const std::vector<std::string> type = texts(attributes, "bc_type"), along = texts(attributes, "associated_dims");
    if (type.size() != 1) throw data_error(place, "expected the text attribute 'bc_type', found none");
    const Boundary kind = kind_of(type[0]);
    if (kind == Boundary::unknown) notes.push_back(fmt::format("boundary condition {} is not known", escape_text(type[0])));
    std::vector<size_t> axes;
    std::vector<int64_t> shape;
    for (const std::string& d : along) {
      const auto it = std::find(dims.begin(), dims.end(), d);
      if (it == dims.end()) throw data_error(place, fmt::format("associated_dims: expected some of {}, found {}", join(dims, ", "), escape_text(d)));
      axes.push_back(static_cast<size_t>(it - dims.begin()));
      shape.push_back(grid[axes.back()]);
    }
    const auto stored = file.dataset(object + "/mask");
    if (stored->info().shape != shape) {  // one per trajectory or time
      for (size_t a : axes) sides[2 * a] = sides[2 * a + 1] = Boundary::unknown;
      notes.push_back(fmt::format("boundary condition {} varies: sides {} unknown", escape_text(link.name), escape_text(join(along, ", "))));
      continue;
    }
    const std::vector<double> mask = stored->read_all(int64_t{1} << 24);
    for (size_t k = 0; k < axes.size(); ++k) {
      for (const bool last : {false, true}) {
        const Face face = face_of(mask, shape, k, last);
        if (kind == Boundary::wall ? face.all : face.any) sides[2 * axes[k] + (last ? 1 : 0)] = kind;
      }
    }
  }
  return sides;
}

}  // namespace ups::data
