// Kuramoto-Sivashinsky equation u_t + u u_x + u_xx + u_xxxx = 0 on [0, L), periodic.
#pragma once
#include "ups/data/generators/generators.h"
#include "ups/data/generators/periodic_flow.h"

namespace ups::data {

class Ks1d : public Generator {
 public:
  explicit Ks1d(const GenerateSettings& settings);
  int64_t block_size() const override { return static_cast<int64_t>(kSignals); }
  // Throws Error (exit 5) if signals keep settling into steady states (possible for unlucky L).
  std::vector<Sample> block(uint64_t index) override;
  std::vector<double> x() const override;  // j L / nx
  std::string scheme() const override;
  // Largest relative L2 difference over the first block between steps of dt and dt/4, 5 time units after the burn-in.
  double measure_tolerance() override;

  // Modes after `burn_in` time units; attempts[q] counts the redraws of signal q.
  FlowState start(uint64_t block, const std::vector<uint64_t>& attempts, double burn_in);
  PeriodicFlow flow(double dt) const;
  static double symbol(double k) { return k * k - k * k * k * k; }

 private:
  GenerateSettings settings_;
  double length_, dt_;
  size_t points_;          // of the solver
  int64_t steps_per_save_;
  PeriodicFlow flow_, burn_in_flow_;
};

// True if 20 successive saves changed the field by less than 2 % each: the trajectory has settled and is worthless as a test.
bool collapsed(const Sample& sample, size_t nx);

}  // namespace ups::data
