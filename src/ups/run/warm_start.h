// A prediction of a Darcy set as the start of a solver: the error of Jacobi-PCG after k iterations, from the prediction and from zero.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "ups/data/batch.h"
#include "ups/metrics/darcy.h"

namespace ups::run {

// What the set's discrete problem is judged against and by what measure; means are over samples.
struct WarmStart {
  metrics::DarcyFaces faces{};           // of the discrete operator that the set's solutions obey better
  double deviation = 0;                  // mean relative L2 difference of the set's solutions and the discrete ones
  bool against_set = true;               // errors are against the set's solutions; false: they are no discrete ones, a converged solve is
  double residual = 0;                   // mean of ||f - A u|| / ||f||; says nothing about the error (docs/metrics.md)
  double start_error = 0;                // mean relative L2 error before the first iteration
  std::vector<int64_t> iterations;
  std::vector<double> error, error_from_zero;            // mean relative L2 error after them
  double to_tolerance = 0, to_tolerance_from_zero = 0;   // mean number of iterations to a relative L2 error of kTolerance
  static constexpr double kTolerance = 1e-2;
};

// Is the discrete operator of this set known: two-dimensional Darcy with one coefficient field and a constant source `beta`?
bool knows_darcy_operator(const data::SetInfo& info);

std::string warm_start_json(const WarmStart& warm_start);

class WarmStartScores {
 public:
  WarmStartScores(const data::SetInfo& info, std::vector<int64_t> iterations);
  // a: coefficients, y: the set's solution, u: the prediction, f: the source (params: of the sample, as SetInfo::param_names).
  void add(std::span<const float> a, std::span<const float> y, std::span<const double> u, const std::vector<double>& params);
  WarmStart result() const;

 private:
  const data::SetInfo* info_;
  size_t forcing_;
  int64_t samples_ = 0;
  WarmStart sum_;
};

}  // namespace ups::run
