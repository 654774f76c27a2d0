// Writing a set in the layout of The Well (https://polymathic-ai.org/the_well, data specification): every channel a scalar field.
#pragma once
#include <map>
#include <span>
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

// Data sets /t0_fields/NAME (a slash in the name becomes '_'): varying [N, T, X..], constant [N, X..], fp32.
class WellFile {
 public:
  // Writes everything but the values of the fields. `file` must outlive this.
  WellFile(io::H5Writer& file, WellHeader header);
  // One trajectory's fields that do not change: [constant, cells].
  void constants(int64_t trajectory, std::span<const float> values);
  // Its frames [first, first + count): [count, varying, cells].
  void frames(int64_t trajectory, int64_t first, int64_t count, std::span<const float> values);

 private:
  void block(const std::string& channel, std::vector<int64_t> start, std::vector<int64_t> count, std::span<const float> values);
  io::H5Writer& file_;
  const WellHeader h_;
  std::vector<int64_t> grid_;
  size_t cells_ = 1;
};

}  // namespace ups::data
