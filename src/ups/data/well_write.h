// Writing a set in the layout of The Well (https://polymathic-ai.org/the_well, data specification): every channel a scalar field.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/io/hdf5_write.h"

namespace ups::data {

struct WellHeader {
  std::string name;
  int64_t trajectories = 0;
  std::vector<std::vector<double>> coords;  // per axis
  std::vector<double> time;
  std::vector<Boundary> boundary;           // [x-, x+, y-, ..]; neither periodic nor open: wall
  std::map<std::string, double> params;
  std::vector<std::string> varying, constant;  // names of the channels and of those that do not change in time
};

// "/t0_fields/NAME": a slash in the name becomes '_'.
std::string well_object(const std::string& channel);
// Everything but the values of the fields: varying [N, T, X..], constant [N, X..], fp32.
void write_well_header(io::H5Writer& file, const WellHeader& header);

}  // namespace ups::data
