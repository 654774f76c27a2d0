// Burgers' equation u_t + (u^2/2)_x = (nu/pi) u_xx on (0,1), periodic.
#pragma once
#include <map>
#include <utility>

#include "ups/data/generators/generators.h"
#include "ups/data/generators/initial_field.h"
#include "ups/data/generators/periodic_flow.h"

namespace ups::data {

class Burgers1d : public Generator {
 public:
  explicit Burgers1d(const GenerateSettings& settings);
  int64_t block_size() const override { return static_cast<int64_t>(kSignals); }
  std::vector<Sample> block(uint64_t index) override;
  std::vector<double> x() const override { return strided_centres(settings_); }
  std::string scheme() const override;
  // Largest relative L2 error against Cole-Hopf over the first two samples at the first, the middle and the last saved time.
  double measure_tolerance() override;

  InitialField initial_field(uint64_t sample) const;
  double viscosity() const;  // nu/pi
  size_t finest() const { return finest_; }

 private:
  PeriodicFlow& flow(size_t n, int64_t steps);  // steps per slice
  void advance(FlowState& state, size_t& n);    // one slice
  GenerateSettings settings_;
  size_t finest_;
  int64_t slices_;   // per save interval; resolution may change between slices
  double slice_;     // s
  std::map<std::pair<size_t, int64_t>, std::unique_ptr<PeriodicFlow>> flows_;
};

}  // namespace ups::data
