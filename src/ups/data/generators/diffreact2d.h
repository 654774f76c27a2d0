// FitzHugh-Nagumo diffusion-reaction on (-1,1)^2 with zero flux:
//   u_t = Du lap u + u - u^3 - k - v,   v_t = Dv lap v + u - v.
// lap is the five-point operator on nx x nx cells, since the initial field is white noise per cell; cosines diagonalise it.
#pragma once
#include "ups/data/generators/etdrk4.h"
#include "ups/data/generators/generators.h"
#include "ups/data/generators/lane_dct.h"

namespace ups::data {

// u and v travel as the real and imaginary parts of one complex field, in lane elements (lanes.h): in cells, element (x/4, y)
// holds four neighbours in x; in modes, element (ky/4, kx) holds four neighbours in ky. So either transform runs over whole
// elements, and one 4 x 4 transposition lies between them.
class DiffReactSolver {
 public:
  // n cells per axis (power of two >= 4); reaction = false leaves pure diffusion (for tests).
  DiffReactSolver(size_t n, double du, double dv, double k, double dt, bool reaction = true);
  void set(const std::vector<double>& u, const std::vector<double>& v);  // [y, x]
  void step(int64_t count);
  void get(std::vector<double>& u, std::vector<double>& v);

 private:
  void to_modes(LaneArray& f);
  void to_cells(LaneArray& f);
  void transpose(LaneArray& f);
  void nonlinear(const LaneArray& modes, LaneArray& out);
  size_t n_;
  double k_;
  bool react_;
  Etdrk4 etd_;  // one coefficient per double of a field
  LaneDct dct_;
  LaneArray modes_, a_, b_, nv_, na_, nb_, nc_, work_;
};

class DiffReact2d : public Generator {
 public:
  explicit DiffReact2d(const GenerateSettings& settings);
  int64_t block_size() const override { return 1; }
  std::vector<Sample> block(uint64_t index) override;
  std::vector<double> x() const override;
  std::string scheme() const override;
  // Relative L2 difference of sample 0 between steps of dt and dt/4 at the first save after time 0.5 (or at the end).
  double measure_tolerance() override;

 private:
  Sample solve(uint64_t index, int64_t frames, int64_t steps_per_save);
  GenerateSettings settings_;
  int64_t steps_per_save_;
};

}  // namespace ups::data
