// Data generators: one PDE per file, fp64 solvers, fp32 files in PDEBench's layouts (docs/data.md).
//
// Sample i is a pure function of (seed, name, parameters, i): it depends neither on the number of samples nor on threads.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace ups::data {

// What the user asked for; unset values take the generator's defaults.
struct GenerateOptions {
  std::string name;  // "burgers1d", ..
  std::string out;   // file to write
  int64_t count = 64;
  uint64_t seed = 0;
  std::optional<int64_t> nx;        // stored points per axis
  std::optional<int64_t> stride_x;  // stored points are every stride-th cell centre of a grid of nx * stride_x cells
  std::optional<double> t_end, save_every;
  std::map<std::string, double> params;
  std::string ic;         // family of initial or coefficient fields; empty = default
  int threads = 0;        // 0 = one per core
  bool resume = false;    // continue from <out>.part
  bool overwrite = false; // replace an existing file
};

enum class Layout { pdebench, pdebench_darcy, pdebench_group };

// A checked request: every value is set and in range.
struct GenerateSettings {
  std::string name, ic;
  uint64_t seed = 0;
  int64_t nx = 0, stride_x = 1;
  double t_end = 0, save_every = 0;
  int64_t frames = 1;  // including t = 0
  std::map<std::string, double> params;
  double param(const std::string& key) const { return params.at(key); }
};

struct ParamInfo {
  std::string name;       // as typed after --param
  std::string attribute;  // as written to the file (PDEBench's spelling)
  std::string doc;
  double value, min, max;  // default and inclusive range
};

// One trajectory in physical units. frames: [T, X], [1, X, Y] or [T, Y, X, C]; coeff: [X, Y] for darcy2d, else empty.
struct Sample {
  std::vector<double> frames, coeff;
};

// One solver with its work space: make one per thread.
class Generator {
 public:
  virtual ~Generator() = default;
  // Samples are made in blocks of this many neighbours (SIMD lanes); the block always is computed whole.
  virtual int64_t block_size() const = 0;
  virtual std::vector<Sample> block(uint64_t index) = 0;
  virtual std::vector<double> x() const = 0;  // coordinates of the stored points of every axis
  virtual std::string scheme() const = 0;
  // Error of a few samples against the exact or a finer solution; see each generator for the measure.
  virtual double measure_tolerance() = 0;
  Sample sample(uint64_t i) {
    const auto b = static_cast<uint64_t>(block_size());
    return std::move(block(i / b)[i % b]);
  }
};

struct GeneratorInfo {
  std::string name, summary, equation, boundary;
  Layout layout;
  std::vector<ParamInfo> params;
  std::vector<std::string> ics;  // the first is the default
  std::string ic_doc;
  std::map<std::string, std::map<std::string, double>> ic_params;  // defaults of parameters that an ic changes
  int64_t nx, nx_min, nx_max;
  bool power_of_two;      // nx must be one
  int64_t base_nx;        // > 0: default stride_x = base_nx / nx where that divides
  double t_end, save_every;  // both 0 for steady equations
  std::vector<std::string> channels;
  std::unique_ptr<Generator> (*make)(const GenerateSettings&);
};

const std::vector<GeneratorInfo>& generator_table();
// Help text: every generator with its equation, parameters, defaults, and examples.
std::string describe_generators();
// Throws Error (exit 2) with the nearest name.
const GeneratorInfo& find_generator(const std::string& name);
// Fills in defaults; throws Error (exit 2) naming the allowed names and ranges.
GenerateSettings resolve(const GenerateOptions& options);

// Makes the file: blocks in parallel, appended to <out>.part, then written as <out>.tmp, synced and renamed. Progress goes to
// the log. Throws Error: exit 2 bad options, 5 a sample that blew up, 7 disk, 8 another process makes the same file.
void generate(const GenerateOptions& options);

}  // namespace ups::data
