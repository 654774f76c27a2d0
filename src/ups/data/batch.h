// Plain buffers that pass between data, metrics, training and evaluation. Nothing here knows LibTorch.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ups::data {

enum class Boundary { periodic, dirichlet, neumann, cauchy, open, wall, unknown };
enum class Split { train, val, test };
const char* to_string(Boundary b);
const char* to_string(Split s);

// What a data set looks like after strides and channel selection. Fields are [T, C, X(, Y(, Z))], channels before space.
struct SetInfo {
  std::string name;    // row name in tables: data.task or the family, for example "burgers1d"
  std::string family;  // "burgers1d", "advection1d", "darcy2d", .. or the file stem
  int64_t trajectories = 0, frames = 0, channels = 0, coeff_channels = 0;
  std::vector<int64_t> grid;                    // cells per axis
  std::vector<std::string> channel_names;
  std::vector<std::vector<double>> coords;      // per axis
  std::vector<double> time;                     // [frames], s
  double dt = 0;                                // spacing of the kept frames; 0 for steady sets
  std::vector<Boundary> boundary;               // per axis side: [x-, x+, y-, y+]
  std::vector<double> length;                   // physical extent of each axis
  std::vector<std::string> param_names;         // PDE parameters, sorted
  bool steady = false;                          // frames == 1, input is the coefficient field
  int64_t cells() const {
    int64_t n = 1;
    for (int64_t g : grid) n *= g;
    return n;
  }
  bool periodic(size_t axis) const {
    return boundary.size() > 2 * axis + 1 && boundary[2 * axis] == Boundary::periodic && boundary[2 * axis + 1] == Boundary::periodic;
  }
};

// One micro-batch. Fields and coefficients are normalised when it comes from a loader, physical when read through Dataset.
struct Batch {
  int64_t size = 0, frames = 0;       // samples, frames per sample
  std::vector<float> fields;          // [B, F, C, X..]
  std::vector<float> coeff;           // [B, Cc, X..]
  std::vector<float> params;          // [B, P] normalised PDE parameters
  std::vector<float> dt;              // [B] time between the frames
  std::vector<int64_t> trajectory;    // [B] index into the whole data set (for keyed noise and reports)
  std::vector<int64_t> first_frame;   // [B]
};

}  // namespace ups::data
