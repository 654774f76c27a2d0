// The evaluation driver on steady sets and on draws of an attractor.
#include <nlohmann/json.hpp>

#include "eval_fake_models.h"
#include "ups/run/attractor.h"

using namespace ups;
using namespace ups::run;
using namespace ups::test;

TEST_CASE("steady set: one column of errors, no rollout, warm start", "[eval]") {
  test::TinyDarcy data;
  data.faces_ = GENERATE(metrics::DarcyFaces::harmonic, metrics::DarcyFaces::arithmetic);
  EvalInput in{data};
  in.initial_step = 1;
  const SetScores scores = evaluate_set(in, {scaled_solution(data, "steady_prior", 1.05)});
  const std::vector<TableRow> rows = make_table({scores});
  REQUIRE(rows.size() == 2);  // climatology, steady_prior: persistence means nothing here
  const TableRow& prior = find(rows, "darcy2d", "steady_prior");
  CHECK(prior.at("one_step_nrmse") == Approx(0.05).epsilon(1e-4));
  for (const char* key : {"rollout_nrmse", "last_frame_nrmse", "drift", "ratio_persistence"}) CHECK(std::isnan(prior.at(key)));
  CHECK(prior.at("ratio_climatology") == Approx(0.05 / find(rows, "darcy2d", "climatology").at("one_step_nrmse")).epsilon(1e-4));
  const WarmStart& warm = scores.find("steady_prior")->warm_start.value();
  CHECK(warm.faces == data.faces_);
  CHECK(warm.residual == Approx(0.05).epsilon(1e-3));  // A (1.05 u) - f = .05 f
  CHECK(warm.start_error == Approx(0.05).epsilon(1e-4));
  CHECK(warm.iterations == std::vector<int64_t>{5, 10, 20});
  for (size_t k = 0; k < warm.error.size(); ++k) CHECK(warm.error[k] < 0.06 * warm.error_from_zero[k] + 1e-6);
  CHECK(warm.against_set);
  CHECK(warm.deviation < 1e-6);
}

TEST_CASE("warm start: linear in the start's error, and iterations to an error", "[eval]") {
  test::TinyDarcy data;
  EvalInput in{data};
  in.warm_start_iterations = {1, 4};
  const SetScores scores = evaluate_set(in, {scaled_solution(data, "steady_prior", 1.05), scaled_solution(data, "steady_prior_sample", 0)});
  const WarmStart warm = scores.find("steady_prior")->warm_start.value(), zero = scores.find("steady_prior_sample")->warm_start.value();
  for (size_t k = 0; k < 2; ++k) {  // the start 1.05 u has -0.05 times the error of the start 0, and so has every iterate
    CHECK(warm.error[k] == Approx(0.05 * warm.error_from_zero[k]).epsilon(1e-3).margin(2e-7));
    CHECK(zero.error[k] == Approx(zero.error_from_zero[k]));
  }
  CHECK(zero.start_error == Approx(1));
  CHECK(zero.to_tolerance == Approx(zero.to_tolerance_from_zero));
  CHECK(warm.to_tolerance > 0);
  CHECK(warm.to_tolerance < warm.to_tolerance_from_zero);
  const auto already = evaluate_set(in, {scaled_solution(data, "steady_prior", 1.005)});  // below the tolerance of 1e-2
  CHECK(already.find("steady_prior")->warm_start->to_tolerance == 0);
  data.scale_ = 1.001;  // solutions of another discretisation: errors are those against a converged solve
  const WarmStart other = evaluate_set(in, {scaled_solution(data, "steady_prior", 1)}).find("steady_prior")->warm_start.value();
  CHECK_FALSE(other.against_set);
  CHECK(other.deviation == Approx(1e-3).epsilon(1e-3));
  CHECK(other.start_error == Approx(1e-3).epsilon(1e-3));
  CHECK(nlohmann::json::parse(warm_start_json(other))["against"] == "converged solves");
  data.info_.family = "poisson2d";
  CHECK_FALSE(evaluate_set(in, {}).find("climatology")->warm_start);
}

TEST_CASE("attractor: draws of the right distribution score as real frames do", "[eval]") {
  test::RandomFrames data;
  const auto scaled = [&](double factor) {
    return score_attractor(data, data::Split::test, [factor](std::span<const int64_t> trajectory, int64_t first, std::span<float> out) {
      REQUIRE(out.size() == trajectory.size() * 2 * 16);
      for (size_t b = 0; b < trajectory.size(); ++b) test::RandomFrames::draw(77, static_cast<uint64_t>(first) + b, factor, out.subspan(b * 32, 32));
    });
  };
  const AttractorScores right = scaled(1), wrong = scaled(1.5);
  CHECK(right.samples == 300);  // test trajectories
  const double independent = 2.0 / 300 * std::sqrt(2.0 * 32);  // 2/n E|x - x'| of white noise with 32 values
  CHECK(right.energy_distance_real == Approx(independent).epsilon(0.1));
  CHECK(right.energy_distance == Approx(independent).epsilon(0.1));
  CHECK(right.spectrum_error < 0.06);
  CHECK(right.spectrum_error_real < 0.06);
  CHECK(wrong.ratio() > 2);
  CHECK(wrong.spectrum_error == Approx(std::log10(1.5 * 1.5)).epsilon(0.1));
  CHECK(wrong.energy_distance_real == right.energy_distance_real);
  CHECK(nlohmann::json::parse(attractor_json(right))["power"].size() == 2);
  CHECK(attractor_svg(right).find("held-out frames") != std::string::npos);
}
