// Incompressible Navier-Stokes in two dimensions, vorticity form, periodic: decaying, Kolmogorov and diagonally forced flow.
#pragma once
#include "ups/data/generators/generators.h"
#include "ups/data/generators/vorticity_flow.h"

namespace ups::data {

// What --ic chooses: the square, the force and the scale of the initial field.
struct FlowCase {
  std::string name;
  double length;                // of the square's sides
  double vorticity;             // root mean square of the initial field, expected value
  int largest_wave;             // initial waves have 0 < |(kx, ky)| <= this
  double speed, peak_vorticity; // what the flow hardly exceeds; step and grid follow from them
  std::vector<Wave> force;
};
const FlowCase& flow_case(const std::string& name);

class Ns2d : public Generator {
 public:
  explicit Ns2d(const GenerateSettings& settings);
  int64_t block_size() const override { return static_cast<int64_t>(kSignals); }
  std::vector<Sample> block(uint64_t index) override;  // frames [T, Y, X, 1]
  std::vector<double> x() const override;              // j L / nx
  std::string scheme() const override;
  // Largest relative L2 difference over the first block to half the step on twice the grid, at the first save after 0.5 (or at
  // the end).
  double measure_tolerance() override;

  // The first block's solver at time 0 on a finer or coarser grid; step = save_every / steps_per_save.
  VorticityFlow start(uint64_t block, size_t points, int64_t steps_per_save) const;
  size_t points() const { return points_; }
  int64_t steps_per_save() const { return steps_per_save_; }

 private:
  GenerateSettings settings_;
  const FlowCase& case_;
  size_t points_;           // of the solver, per axis
  int64_t steps_per_save_;
};

}  // namespace ups::data
