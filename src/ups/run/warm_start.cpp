#include "ups/run/warm_start.h"

#include <algorithm>
#include <cassert>
#include <nlohmann/json.hpp>

namespace ups::run {
namespace {

// fp32 files of a discrete solution deviate from it by about 1e-7, solutions of another discretisation by more than 1e-4.
constexpr double kSameSolution = 1e-5;

size_t forcing_index(const data::SetInfo& info) {
  return static_cast<size_t>(std::find(info.param_names.begin(), info.param_names.end(), "beta") - info.param_names.begin());
}

struct Descent {
  std::vector<double> error;  // after each number of iterations
  double start = 0, to_tolerance = 0;
};

Descent descend(const metrics::DarcyOperator& op, std::span<const double> from, double f, std::span<const double> truth,
                const std::vector<int64_t>& iterations) {
  Descent d;
  bool reached = false;
  double error = 0;
  op.pcg(from, f, [&](int64_t done, std::span<const double> u) {
    error = metrics::relative_l2(u, truth);
    if (done == 0) d.start = error;
    if (!reached && error > WarmStart::kTolerance) d.to_tolerance = static_cast<double>(done + 1);
    reached = reached || error <= WarmStart::kTolerance;
    if (d.error.size() < iterations.size() && done == iterations[d.error.size()]) d.error.push_back(error);
    return !reached || d.error.size() < iterations.size();
  });
  d.error.resize(iterations.size(), error);  // converged before
  return d;
}

}  // namespace

bool knows_darcy_operator(const data::SetInfo& info) {
  return info.steady && info.family == "darcy2d" && info.grid.size() == 2 && info.coeff_channels == 1 && info.channels == 1 &&
         forcing_index(info) < info.param_names.size();
}

WarmStartScores::WarmStartScores(const data::SetInfo& info, std::vector<int64_t> iterations) : info_(&info), forcing_(forcing_index(info)) {
  assert(knows_darcy_operator(info));
  std::sort(iterations.begin(), iterations.end());
  sum_.iterations = std::move(iterations);
  sum_.error.assign(sum_.iterations.size(), 0.0);
  sum_.error_from_zero = sum_.error;
}

void WarmStartScores::add(std::span<const float> coefficients, std::span<const float> solution, std::span<const double> u, const std::vector<double>& params) {
  const std::vector<double> a(coefficients.begin(), coefficients.end()), y(solution.begin(), solution.end());
  const double f = params[forcing_];
  const auto length = [&](size_t axis) { return axis < info_->length.size() ? info_->length[axis] : 1.0; };
  const auto operator_with = [&](metrics::DarcyFaces faces) {
    return metrics::DarcyOperator(info_->grid[0], info_->grid[1], length(0), length(1), a, faces);
  };
  using enum metrics::DarcyFaces;
  const bool first = samples_++ == 0;
  if (first)  // files do not say which discretisation made them, but their solutions do
    sum_.faces = operator_with(harmonic).relative_residual(y, f) <= operator_with(arithmetic).relative_residual(y, f) ? harmonic : arithmetic;
  const metrics::DarcyOperator op = operator_with(sum_.faces);
  const std::vector<double> discrete = op.solve(f);
  const double deviation = metrics::relative_l2(y, discrete);
  if (first) sum_.against_set = deviation <= kSameSolution;
  sum_.deviation += deviation;
  sum_.residual += op.relative_residual(u, f);
  const auto& truth = sum_.against_set ? y : discrete;
  const Descent warm = descend(op, u, f, truth, sum_.iterations), cold = descend(op, std::vector<double>(u.size(), 0.0), f, truth, sum_.iterations);
  sum_.start_error += warm.start;
  sum_.to_tolerance += warm.to_tolerance;
  sum_.to_tolerance_from_zero += cold.to_tolerance;
  for (size_t k = 0; k < sum_.iterations.size(); ++k) {
    sum_.error[k] += warm.error[k];
    sum_.error_from_zero[k] += cold.error[k];
  }
}

WarmStart WarmStartScores::result() const {
  assert(samples_ > 0);
  WarmStart mean = sum_;
  const auto n = static_cast<double>(samples_);
  for (double* v : {&mean.deviation, &mean.residual, &mean.start_error, &mean.to_tolerance, &mean.to_tolerance_from_zero}) *v /= n;
  for (auto* errors : {&mean.error, &mean.error_from_zero})
    for (double& e : *errors) e /= n;
  return mean;
}

std::string warm_start_json(const WarmStart& w) {
  const nlohmann::ordered_json j{{"faces", w.faces == metrics::DarcyFaces::harmonic ? "harmonic" : "arithmetic"},
                                 {"against", w.against_set ? "the set's solutions" : "converged solves"},
                                 {"set_deviation", w.deviation},
                                 {"relative_residual", w.residual},
                                 {"start_error", w.start_error},
                                 {"pcg_iterations", w.iterations},
                                 {"error", w.error},
                                 {"error_from_zero", w.error_from_zero},
                                 {"tolerance", WarmStart::kTolerance},
                                 {"iterations_to_tolerance", w.to_tolerance},
                                 {"iterations_to_tolerance_from_zero", w.to_tolerance_from_zero}};
  return j.dump();  // what is not finite becomes null
}

}  // namespace ups::run
