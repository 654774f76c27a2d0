// One file as a list of trajectories at full resolution. Readers permute every layout to [T, C, X(, Y, Z)] and scale nothing.
#pragma once
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/io/hdf5.h"

namespace ups::data {

struct SourceInfo {
  std::string path, format, family;
  bool known_family = false;
  int64_t trajectories = 0, frames = 0, channels = 1, coeff_channels = 0;
  std::vector<int64_t> grid;
  std::vector<std::string> channel_names, coeff_names;  // coeff_names: empty if the file has none
  std::vector<std::vector<double>> coords;  // per axis
  std::vector<double> time;
  std::vector<Boundary> boundary;
  std::map<std::string, double> params;
  std::vector<int64_t> ids;        // stored index or group number of each trajectory
  std::vector<std::string> notes;  // corrections, recorded in split.json
  std::vector<io::H5Attribute> attributes;  // of the root
  int64_t bytes = 0;
  int64_t cells() const {
    int64_t n = 1;
    for (int64_t g : grid) n *= g;
    return n;
  }
};

struct SourceOptions {
  std::string format = "auto";
  std::vector<std::string> tasks;
  std::string field_name = "u";
  io::H5Limits limits;
};

class Source {
 public:
  virtual ~Source() = default;
  const SourceInfo& info() const { return info_; }
  // Frames first, first + stride, .. of trajectory i (position in info().ids): [count, C, X..]. Thread-safe.
  virtual void read(int64_t i, int64_t first, int64_t count, int64_t stride, std::span<float> out) = 0;
  virtual void read_coeff(int64_t i, std::span<float> out);  // [Cc, X..]
  // "/tensor[3]" or "/0003/data": where messages point.
  virtual std::string object(int64_t i) const = 0;
  // Runs that ended in nothing and are left out (data.md, trap 11).
  virtual bool ill_defined(int64_t) { return false; }
  // What root attributes of ours say beats what the family suggests: channels and boundary (names joined by commas; boundary: one for
  // all sides, or one per side x-, x+, y-, ..), parameters (which attributes are some), first_trajectory (number of the first one).
  void believe_attributes();

 protected:
  SourceInfo info_;
};

// Detects the layout (data.md 2), applies every check and opens it.
std::unique_ptr<Source> open_source(const std::string& path, const SourceOptions& options);
// Order of data.md 2, by contents only. Unsupported or unknown layouts are exit 3.
std::string detect_format(const io::H5File& file);

// The readers; open_source chooses.
std::unique_ptr<Source> open_monolithic(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options);
std::unique_ptr<Source> open_groups(std::unique_ptr<io::H5File> file, SourceInfo info, const SourceOptions& options);
std::unique_ptr<Source> open_zarr(const std::string& path, const SourceOptions& options);
std::unique_ptr<Source> open_well(std::unique_ptr<io::H5File> file, SourceInfo info);

// Helpers shared by the readers. Axis of `object`; its length must be n (exit 3).
std::vector<double> read_axis(const io::H5File& file, const std::string& object, int64_t n);
// The step of ascending times that are uniform to 1e-4 (data.md, trap 1), 0 for one time; place is where messages point (exit 3).
double uniform_step(const std::vector<double>& t, const std::string& place);
// First n entries of a time axis of n or n + 1 entries, uniform to 1e-4 (data.md, trap 1).
std::vector<double> read_time(const io::H5File& file, const std::string& object, int64_t n);

}  // namespace ups::data
