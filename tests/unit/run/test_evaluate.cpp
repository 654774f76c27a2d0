// The evaluation driver on time-dependent sets with known answers.
#include <nlohmann/json.hpp>

#include "eval_fake_models.h"
#include "ups/core/error.h"
#include "ups/run/verdict.h"

using namespace ups;
using namespace ups::run;
using namespace ups::test;

TEST_CASE("time-dependent set: rows have their analytic values", "[eval]") {
  test::MovingSines data;
  const std::vector<TableRow> rows = make_table({evaluate_set(wave_input(data), wave_models())});
  REQUIRE(rows.size() == 5);

  const TableRow& op = find(rows, "waves", "operator");
  double rollout = 0;
  for (int k = 1; k <= 6; ++k) rollout += (1 - std::pow(0.99, k)) / 6;
  CHECK(op.at("one_step_nrmse") == Approx(0.01).epsilon(1e-4));
  CHECK(op.at("rollout_nrmse") == Approx(rollout).epsilon(1e-4));
  CHECK(op.at("last_frame_nrmse") == Approx(1 - std::pow(0.99, 6)).epsilon(1e-4));
  CHECK(op.at("correlation_censored") == 1);
  CHECK(op.at("nfe") == 1);
  CHECK(std::isnan(op.at("fair_crps")));

  // Two sines of wave number k, t cells apart: 2 sin(pi k t / 32).
  const auto apart = [](int t) { return std::sin(kPi * t / 32) + std::sin(2 * kPi * t / 32); };
  double mean = 0;
  for (int t = 1; t <= 6; ++t) mean += apart(t) / 6;
  const TableRow& persistence = find(rows, "waves", "persistence");
  CHECK(persistence.at("one_step_nrmse") == Approx(apart(1)).epsilon(1e-5));
  CHECK(persistence.at("rollout_nrmse") == Approx(mean).epsilon(1e-5));
  CHECK(op.at("ratio_persistence") == Approx(rollout / mean).epsilon(1e-4));
  CHECK(std::isnan(persistence.at("ms_per_step")));

  const TableRow& climatology = find(rows, "waves", "climatology");
  CHECK(climatology.at("one_step_nrmse") == Approx(1).epsilon(1e-5));
  CHECK(climatology.at("rollout_nrmse") == Approx(1).epsilon(1e-5));

  // Members are the truth plus independent noise: the mean of M has error noise / sqrt(M), the spread is noise.
  const TableRow& sample = find(rows, "waves", "corrector_sample");
  const double rms = (std::sqrt(0.5) * (1 + 0.5)) / 2;  // mean over channels of 1 / ||y||: (1/.707 + 1/1.414)/2
  CHECK(sample.at("one_step_spread_skill") == Approx(3).epsilon(0.05));
  CHECK(sample.at("one_step_crps") == Approx(kNoise * (std::sqrt(2 / kPi) - 1 / std::sqrt(kPi))).epsilon(0.05));
  CHECK(sample.at("one_step_nrmse_single") == Approx(kNoise * 2 * rms).epsilon(0.05));
  CHECK(sample.at("one_step_nrmse") == Approx(kNoise * 2 * rms / std::sqrt(8.0)).epsilon(0.1));
  CHECK(sample.at("rollout_nrmse_single") > 1.3 * sample.at("one_step_nrmse_single"));  // noise adds up along the rollout
  CHECK(sample.at("nfe") == 8);
}

TEST_CASE("a model with a context gets frames in order: true ones for one step, its own in the rollout", "[eval]") {
  test::MovingSines data;
  EvalModel oldest;
  oldest.name = "operator";
  oldest.context = 3;
  oldest.predict = [](std::span<const float> in, std::span<const float>, std::span<const int64_t> trajectory, int64_t, int64_t, std::span<float> out) {
    REQUIRE(in.size() == trajectory.size() * 3 * 64);
    for (size_t b = 0; b < trajectory.size(); ++b) std::copy_n(&in[b * 3 * 64], 64, &out[b * 64]);
  };
  EvalInput in = wave_input(data);
  SECTION("scores") {
    if (GENERATE(false, true)) in.memory_budget = 1 << 15;  // several chunks
    const SetScores scores = evaluate_set(in, {oldest, shift_model("corrector_mean", 1)});
    const auto rows = make_table({scores});
    const auto apart = [](int t) { return std::sin(kPi * t / 32) + std::sin(2 * kPi * t / 32); };
    CHECK(find(rows, "waves", "operator").at("one_step_nrmse") == Approx(apart(3)).epsilon(1e-5));
    CHECK(find(rows, "waves", "operator").at("rollout_nrmse") == Approx((apart(3) + apart(6)) / 2).epsilon(1e-5));  // lags of 3, then 6
    CHECK(find(rows, "waves", "corrector_mean").at("rollout_nrmse") < 1e-5);  // beside it, a model that sees one frame
    CHECK(find(rows, "waves", "persistence").at("one_step_nrmse") == Approx(apart(1)).epsilon(1e-5));
  }
  SECTION("fewer frames than it sees") {
    in.initial_step = 2;
    CHECK_THROWS_WITH(evaluate_set(in, {oldest}), Catch::Contains("2 is below the 3 frames that operator sees"));
  }
}

TEST_CASE("chunks of trajectories change no score", "[eval]") {
  test::MovingSines data;
  EvalInput small = wave_input(data);
  small.batch = 2;
  small.memory_budget = 1;
  const auto whole = make_table({evaluate_set(wave_input(data), wave_models())}), parts = make_table({evaluate_set(small, wave_models())});
  for (size_t r = 0; r < whole.size(); ++r) {
    for (size_t c = 0; c < table_columns().size(); ++c) {
      INFO(whole[r].model << " " << table_columns()[c].key);
      if (table_columns()[c].key == "ms_per_step" || std::isnan(whole[r].values[c])) continue;
      CHECK(parts[r].values[c] == Approx(whole[r].values[c]).epsilon(1e-12).margin(1e-14));
    }
  }
}

TEST_CASE("horizon, initial step and empty splits", "[eval]") {
  test::MovingSines data;
  EvalInput in = wave_input(data);
  in.horizon = 2;
  const SetScores two = evaluate_set(in, {shift_model("operator", 0.99)});
  CHECK(two.frames == 2);
  CHECK(two.times == std::vector<double>{1.5, 2.0});
  CHECK(make_table({two})[2].at("last_frame_nrmse") == Approx(1 - std::pow(0.99, 2)).epsilon(1e-4));
  data.info_.name = "../my set";
  CHECK(evaluate_set(in, {}).info.name == "set_.._my_set");  // names become paths
  in.initial_step = 9;
  CHECK_THROWS_AS(evaluate_set(in, {}), Error);
  in.initial_step = 3;
  data.members_[2].clear();
  try {
    evaluate_set(in, {});
    FAIL("an empty split must be refused");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
  }
}

TEST_CASE("where keeps the trajectories with a parameter value", "[eval]") {
  test::MovingSines data;
  data.info_.param_names = {"nu"};
  data.params_ = {0.01};
  data.odd_params_ = {0.0028};
  EvalInput in = wave_input(data);
  in.where = {{"nu", 0.0028 * (1 + 1e-9)}};
  const SetScores odd = evaluate_set(in, {});
  CHECK(odd.trajectories == std::vector<int64_t>{15, 17, 19});
  CHECK(odd.samples == 3);
  for (const auto& [name, value, what] : {std::tuple{"nu", 0.003, "values: 0.0028, 0.01"}, std::tuple{"mu", 0.01, "parameters: nu"}}) {
    in.where = {{name, value}};
    try {
      evaluate_set(in, {});
      FAIL("nothing to score must be refused");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
      CHECK(std::string(e.what()).find(what) != std::string::npos);
    }
  }
}

TEST_CASE("a rollout that blows up is reported, not hidden", "[eval]") {
  test::MovingSines data;
  const auto rows = make_table({evaluate_set(wave_input(data), {shift_model("operator", 1e20)})});
  const TableRow& op = find(rows, "waves", "operator");
  CHECK_FALSE(std::isfinite(op.at("rollout_nrmse")));
  CHECK(op.at("diverged") == 6);
  CHECK(table_text(rows).find("diverged") != std::string::npos);
  CHECK(verdict(rows)[0].find("not finite") != std::string::npos);
}

TEST_CASE("persistence of a field at rest has no error", "[eval]") {
  struct AtRest : test::MovingSines {
    void read(int64_t trajectory, int64_t, int64_t count, std::span<float> out) override {
      for (int64_t t = 0; t < count; ++t) MovingSines::read(trajectory, 0, 1, out.subspan(static_cast<size_t>(t) * 64, 64));
    }
  } data;
  const auto rows = make_table({evaluate_set(wave_input(data), {})});
  CHECK(rows[0].at("rollout_nrmse") == 0);
  CHECK(rows[0].at("one_step_nrmse") == 0);
  CHECK(rows[0].at("drift") == 0);
}

TEST_CASE("PDEBench's exact averaging is added on request", "[eval]") {
  test::MovingSines data;
  EvalInput in = wave_input(data);
  in.exact_pdebench = true;
  in.batch = 2;  // 6 test trajectories: 3 batches
  const SetScores three = evaluate_set(in, {shift_model("operator", 0.99)});
  CHECK(three.find("operator")->one_step.exact.value().nrmse == Approx(0.01 * 3 / 2).epsilon(1e-4));
  in.batch = 16;
  const std::string text = evaluation_json({evaluate_set(in, {shift_model("operator", 0.99)})}, {});
  CHECK(nlohmann::json::parse(text)["details"]["waves"]["operator"]["rollout"]["pdebench_exact"]["nrmse"] == "inf");
}
