// What a file of The Well (https://polymathic-ai.org/the_well, data specification) says about itself.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/io/hdf5.h"

namespace ups::data {

// One stored array [N?][T?][X?, Y?, Z?](D)(D): axes that do not vary are absent or have length 1.
struct WellField {
  std::string object;                 // "/t1_fields/velocity"
  std::vector<std::string> channels;  // "velocity_x", ..: one name per component, row-major
  bool sample_varying = false, time_varying = false;
  std::vector<int64_t> shape;         // as stored
  size_t sample_axis = 0, time_axis = 0;  // positions in shape, where they vary
  // Position of every cell among the stored cells; empty if each has its own in order.
  std::vector<int64_t> cell_at;
  int64_t stored_cells = 0;
};

struct WellLayout {
  std::string name;  // dataset_name
  int64_t trajectories = 0, frames = 0;
  std::vector<int64_t> grid;
  std::vector<std::vector<double>> coords;
  std::vector<double> time;
  std::vector<Boundary> boundary;  // [x-, x+, y-, ..]
  std::map<std::string, double> params;  // simulation_parameters, lower-case names
  std::vector<WellField> varying, constant;  // in the order t0, t1, t2, each as field_names lists them
  std::vector<std::string> notes;
};

// Throws Error (exit 3) with object, expected and found; grids other than Cartesian are refused.
WellLayout read_well_layout(const io::H5File& file);

}  // namespace ups::data
