// Steady Darcy flow -div(a grad u) = beta on (0,1)^2 with u = 0 on the wall and a two-valued coefficient.
#pragma once
#include "ups/data/generators/darcy_solver.h"
#include "ups/data/generators/generators.h"

namespace ups::data {

class Darcy2d : public Generator {
 public:
  explicit Darcy2d(const GenerateSettings& settings);
  int64_t block_size() const override { return 1; }
  std::vector<Sample> block(uint64_t index) override;
  std::vector<double> x() const override { return strided_centres(settings_); }
  std::string scheme() const override;
  double measure_tolerance() override;  // largest relative residual of the first 8 samples

  std::vector<double> coefficient(uint64_t sample, size_t n) const;  // the sample's field on any grid, [X, Y]

 private:
  GenerateSettings settings_;
  DarcySolver solver_;
};

// A field in [0,1] thresholded: 1 where field > level, else low.
std::vector<double> two_valued(const std::vector<double>& field, double level, double low);

}  // namespace ups::data
