// What file names, attributes and tasks say about the equation behind a file.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/io/hdf5.h"

namespace ups::data {

struct Family {
  std::string name;    // "burgers1d"; the file stem if nothing is known
  bool known = false;  // known families share trajectory indices over their parameter files (data.md, trap 7)
};

// Order: root attributes `family` and `generator`, file name, parameter names of the format, task, file stem. A task that contradicts is exit 3.
Family find_family(const std::string& path, const std::string& format, const std::vector<io::H5Attribute>& root,
                   const std::vector<std::string>& tasks);
// True if a file with this family serves this task ("reaction_diffusion2d" and "diffreact2d" are one set).
bool serves_task(const std::string& family, const std::string& task);
// Family that a file name shows; empty if none.
std::string family_from_name(const std::string& path);

// [x-, x+, y-, y+, ..]; CFD file names carry the boundary themselves.
std::vector<Boundary> family_boundary(const std::string& family, const std::string& path, size_t axes);
std::vector<std::string> channel_names(const std::string& family, int64_t channels, const std::string& fallback);
// Per-group files of this family store [t, y, x, c] instead of [t, x, y, c] (data.md, trap 5).
bool stores_y_first(const std::string& family);
bool on_unit_interval(const std::string& family);

// PDE parameters of a file, lower-case names. Attributes may be scalars or length-1 arrays; a contradiction with the file name is
// exit 3 with both values.
std::map<std::string, double> file_params(const std::string& path, const std::vector<io::H5Attribute>& root);

}  // namespace ups::data
