// The evaluation driver on data sets with known answers.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "eval_fakes.h"
#include "ups/core/error.h"
#include "ups/io/hdf5.h"
#include "ups/run/attractor.h"
#include "ups/run/eval_cli.h"
#include "ups/run/run_config.h"
#include "ups/run/eval_plots.h"
#include "ups/run/eval_table.h"
#include "ups/run/predictions.h"
#include "ups/run/verdict.h"

using namespace ups;
using namespace ups::run;
using test::kPi;

namespace {

constexpr double kNoise = 0.05;

// Moves every field one cell, as the data do, and multiplies by `factor`; noise per (trajectory, step, member) when wanted.
EvalModel shift_model(const std::string& name, double factor, double noise = 0) {
  EvalModel m;
  m.name = name;
  m.stochastic = noise > 0;
  m.nfe = m.stochastic ? 8 : 1;
  m.predict = [=](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory, int64_t step,
                  int64_t member, std::span<float> out) {
    REQUIRE(coeff.empty());
    REQUIRE(in.size() == trajectory.size() * 64);
    REQUIRE((step >= 3 && step < 9));
    for (size_t b = 0; b < trajectory.size(); ++b) {
      RandomStream random(mix_seed(static_cast<uint64_t>(trajectory[b]), static_cast<uint64_t>(step)), static_cast<uint64_t>(member));
      for (size_t c = 0; c < 2; ++c) {
        for (size_t x = 0; x < 32; ++x) {
          const double v = factor * static_cast<double>(in[(2 * b + c) * 32 + (x + 31) % 32]);
          out[(2 * b + c) * 32 + x] = static_cast<float>(v + noise * random.normal());
        }
      }
    }
  };
  return m;
}

EvalModel scaled_solution(test::TinyDarcy& data, const std::string& name, double factor) {
  EvalModel m;
  m.name = name;
  m.predict = [&data, factor](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory,
                              int64_t step, int64_t, std::span<float> out) {
    REQUIRE((in.empty() && step == 0 && coeff.size() == 48 * trajectory.size()));
    for (size_t b = 0; b < trajectory.size(); ++b) {
      std::vector<float> a(48);
      data.read_coeff(trajectory[b], a);
      CHECK(std::equal(a.begin(), a.end(), coeff.begin() + static_cast<std::ptrdiff_t>(48 * b)));
      data.read(trajectory[b], 0, 1, out.subspan(48 * b, 48));
    }
    for (float& v : out) v *= static_cast<float>(factor);
  };
  return m;
}

EvalModel scattered_solution(test::TinyDarcy& data) {
  EvalModel m = scaled_solution(data, "steady_prior_sample", 1);
  m.stochastic = true;
  m.predict = [exact = m.predict](std::span<const float> in, std::span<const float> coeff, std::span<const int64_t> trajectory,
                                  int64_t step, int64_t member, std::span<float> out) {
    exact(in, coeff, trajectory, step, member, out);
    for (float& v : out) v *= 1 + 0.01F * static_cast<float>(member);
  };
  return m;
}

std::vector<EvalModel> wave_models() {
  return {shift_model("operator", 0.99), shift_model("corrector_mean", 0.999), shift_model("corrector_sample", 1, kNoise)};
}

EvalInput wave_input(data::Dataset& data) {
  EvalInput in{data};
  in.initial_step = 3;
  in.batch = 4;
  return in;
}

struct TemporaryFolder {
  std::filesystem::path path = std::filesystem::temp_directory_path() / ("ups_eval_" + std::to_string(getpid()));
  TemporaryFolder() { std::filesystem::create_directories(path); }
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

const TableRow& find(const std::vector<TableRow>& rows, const std::string& set, const std::string& model) {
  for (const TableRow& r : rows) {
    if (r.set == set && r.model == model) return r;
  }
  FAIL("no row " << set << "/" << model);
  return rows[0];
}

}  // namespace

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

TEST_CASE("evaluation.json, CSV, predictions and the independent recomputation", "[eval]") {
  const TemporaryFolder folder;
  test::MovingSines waves;
  test::TinyDarcy darcy;
  const std::string h5 = (folder.path / "p" / "predictions.h5").string(), prefix = (folder.path / "eval" / "evaluation").string();
  std::vector<SetScores> sets;
  {
    PredictionsFile file(h5);
    EvalInput in = wave_input(waves);
    in.memory_budget = 1;  // several chunks
    sets.push_back(evaluate_set(in, wave_models(), &file));
    EvalInput steady{darcy};
    sets.push_back(evaluate_set(steady, {scaled_solution(darcy, "steady_prior", 1.05)}, &file));
    CHECK_FALSE(std::filesystem::exists(h5));  // appears when complete
    file.close();
  }
  const auto written = write_evaluation(prefix, sets, {.run = "runs/x", .mode = "pdebench", .notes = {{"device", "cpu"}}});
  REQUIRE(written == std::vector<std::string>{prefix + ".json", prefix + ".csv"});

  const auto j = nlohmann::json::parse(std::ifstream(prefix + ".json"));
  for (const char* key : {"metrics", "extra", "per_channel", "per_time", "baselines", "cost", "table", "verdict"}) CHECK(j.contains(key));
  for (const char* key : {"mse", "mae", "rmse", "nrmse", "rel_l2", "conservation_gap", "bc_violation", "negativity_penalty"}) {
    CHECK(j["metrics"][key].is_number());
  }
  CHECK(j["metrics"]["nrmse"].get<double>() == Approx(0.01).epsilon(1e-4));
  CHECK(j["metrics"]["persistence_nrmse"].get<double>() > 0.1);
  CHECK(j["extra"]["samples"] == 6);
  CHECK(j["extra"]["device"] == "cpu");
  REQUIRE(j["table"].size() == 7);
  CHECK(j["table"][2]["model"] == "operator");
  CHECK(j["table"][2]["fair_crps"].is_null());
  CHECK(j["table"][6]["rollout_nrmse"].is_null());
  CHECK(j["per_time"]["waves"]["operator"]["rollout"]["nrmse"].size() == 6);
  CHECK(j["per_time"]["waves"]["operator"]["rollout"]["nrmse"][5][1].get<double>() == Approx(1 - std::pow(0.99, 6)).epsilon(1e-4));
  CHECK(j["per_channel"]["waves"]["operator"]["one_step"]["rmse"].size() == 2);
  CHECK(j["cost"]["waves"]["corrector_sample"]["nfe"] == 8);
  const auto& calibration = j["details"]["waves"]["corrector_sample"]["one_step"];
  CHECK(calibration["rank_histogram"].size() == 9);
  REQUIRE(calibration["coverage"].size() == 4);
  CHECK(calibration["coverage"][3]["nominal"].get<double>() == Approx(7.0 / 9));
  CHECK(calibration["coverage"][3]["actual"].get<double>() > 0.95);  // noise around an exact step: wider than its errors

  std::ifstream csv(prefix + ".csv");
  std::string line;
  int lines = 0;
  while (std::getline(csv, line)) ++lines;
  CHECK(lines == 8);

  {
    auto file = io::H5File::open(h5);
    CHECK(file->dataset("/waves/truth")->info().shape == std::vector<int64_t>{6, 6, 2, 32});
    CHECK(file->dataset("/waves/context")->info().shape == std::vector<int64_t>{6, 1, 2, 32});
    CHECK(file->dataset("/waves/rollout/corrector_sample")->info().shape == std::vector<int64_t>{6, 8, 6, 2, 32});
    for (const std::string summary : {"mean", "std", "q05", "q95"}) {
      CHECK(file->dataset("/waves/ensemble/rollout/corrector_sample/" + summary)->info().shape == std::vector<int64_t>{6, 6, 2, 32});
      CHECK(file->dataset("/waves/ensemble/one_step/corrector_sample/" + summary)->info().shape == std::vector<int64_t>{6, 6, 2, 32});
    }
    CHECK(file->dataset("/waves/sample")->read_all() == std::vector<double>{14, 15, 16, 17, 18, 19});
    CHECK(file->dataset("/darcy2d/one_step/steady_prior")->info().shape == std::vector<int64_t>{6, 1, 1, 6, 8});
    CHECK(file->dataset("/darcy2d/context")->info().shape == std::vector<int64_t>{6, 1, 1, 6, 8});
  }

  if (std::system("python3 -c 'import numpy, h5py' 2>/dev/null") != 0) {
    WARN("skipped: scripts/check_predictions.py needs python3 with numpy and h5py");
    return;
  }
  const std::string check = "python3 " UPS_SOURCE_DIR "/scripts/check_predictions.py ";
  CHECK(std::system((check + prefix + ".json " + h5).c_str()) == 0);
  // One wrong digit anywhere in the table must be found.
  auto wrong = j;
  wrong["table"][3]["frmse_high"] = j["table"][3]["frmse_high"].get<double>() * (1 + 1e-4) + 1e-6;
  std::ofstream(folder.path / "wrong.json") << wrong;
  CHECK(std::system((check + (folder.path / "wrong.json").string() + " " + h5 + " >/dev/null").c_str()) != 0);
  wrong = j;
  wrong["table"].erase(4);
  std::ofstream(folder.path / "wrong.json") << wrong;
  CHECK(std::system((check + (folder.path / "wrong.json").string() + " " + h5 + " >/dev/null").c_str()) != 0);
}

TEST_CASE("pictures: error growth, fields and training curves", "[eval]") {
  const TemporaryFolder folder;
  const std::string out = (folder.path / "plots").string(), log = (folder.path / "metrics.jsonl").string();
  test::MovingSines waves;
  test::TinyDarcy darcy;
  auto models = wave_models();
  models.push_back(shift_model("blown_up", 1e20));  // not finite from the third frame on
  const std::vector<SetScores> sets = {evaluate_set(wave_input(waves), models),
                                       evaluate_set(EvalInput{darcy}, {scaled_solution(darcy, "steady_prior", 1.05), scattered_solution(darcy)})};
  const auto paths = write_eval_plots(out, sets);
  REQUIRE(paths == std::vector<std::string>{out + "/errors_waves.svg", out + "/calibration_waves.svg", out + "/fields_waves.svg", out + "/spread_waves.svg",
                                            out + "/calibration_darcy2d.svg", out + "/fields_darcy2d.svg", out + "/spread_darcy2d.svg"});
  std::ofstream(log) << R"({"kind":"epoch","stage":"operator","operator/loss":1.0,"operator/epoch":0,"operator/lr":1e-3,"operator/val_nrmse":0.5,"update":10})" << "\n"
                     << R"({"kind":"step","stage":"operator","operator/loss":1.0,"update":15})" << "\n"
                     << R"({"kind":"epoch","stage":"operator","operator/loss":0.5,"operator/epoch":1,"operator/lr":1e-4,"operator/val_nrmse":null,"update":20})" << "\n"
                     << R"({"kind":"epoch","stage":"steady_pr)";  // unfinished
  const auto training = write_training_plots(out, log);
  REQUIRE(training == std::vector<std::string>{out + "/training.svg"});
  const auto text = [](const std::string& path) {
    std::ifstream in(path);
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  auto all = paths;
  all.push_back(training[0]);
  for (const auto& path : all) {
    const std::string svg = text(path);
    INFO(path);
    CHECK(svg.find("</svg>") != std::string::npos);
    CHECK(svg.find("\"nan") == std::string::npos);
    CHECK(svg.find(" nan") == std::string::npos);
    CHECK(svg.find("inf,") == std::string::npos);
  }
  CHECK(text(paths[0]).find("persistence") != std::string::npos);
  CHECK(text(paths[1]).find("waves, one step: coverage of central intervals") != std::string::npos);
  CHECK(text(paths[1]).find("corrector_sample") != std::string::npos);
  CHECK(text(paths[1]).find("corrector_mean") == std::string::npos);  // only ensembles have ranks
  CHECK(text(paths[2]).find("corrector_mean - truth") != std::string::npos);
  CHECK(text(paths[2]).find("corrector_sample") == std::string::npos);
  CHECK(text(paths[3]).find("corrector_sample") != std::string::npos);
  CHECK(text(paths[3]).find("|mean - truth|") != std::string::npos);
  CHECK(text(training[0]).find("operator: loss and validation") != std::string::npos);
  CHECK(text(training[0]).find("val_nrmse") != std::string::npos);
  CHECK(text(training[0]).find("loss (steps)") != std::string::npos);
  std::ofstream(log, std::ios::trunc) << "";
  CHECK(write_training_plots(out, log).empty());
  if (const char* keep = std::getenv("UPS_KEEP_PLOTS")) std::filesystem::copy(out, keep, std::filesystem::copy_options::recursive);
}

TEST_CASE("CSV cells cannot become formulas; the terminal table has the same rows", "[eval]") {
  std::vector<TableRow> rows = {{"=cmd|' /C calc'!A0", "a,\"b", std::vector<double>(table_columns().size(), -1.5)},
                                {"waves", "x\x1b[2J", std::vector<double>(table_columns().size(), std::nan(""))}};
  const std::string csv = table_csv(rows);
  CHECK(csv.find("\n'=cmd|' /C calc'!A0,\"a,\"\"b\",-1.5,") != std::string::npos);
  const std::string text = table_text(rows);
  CHECK(text.find("\x1b") == std::string::npos);
  CHECK(text.find("-1.5") != std::string::npos);
  CHECK(std::count(text.begin(), text.end(), '\n') == 4);  // heading, two rows, a blank line between the sets
}

TEST_CASE("the verdict says what helped and what did not", "[eval]") {
  test::MovingSines data;
  auto models = wave_models();
  models.push_back(shift_model("operator_equal_compute", 0.9995));
  const auto good = verdict(make_table({evaluate_set(wave_input(data), models)}));
  const auto contains = [](const std::vector<std::string>& lines, const std::string& part) {
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& l) { return l.find(part) != std::string::npos; });
  };
  CHECK(contains(good, "waves: operator: helps: one-step nRMSE 0.01 is"));
  CHECK(contains(good, "corrector_mean: helps against the operator alone: lowers one-step nRMSE by 90 %"));
  CHECK(contains(good, "corrector_mean: does not help (worse) against the operator trained for the summed compute"));
  CHECK(contains(good, "waves: corrector_sample: its 90 % interval covers 100 %: too wide."));
  CHECK(contains(good, "corrector_sample: fair CRPS over the operator's mean absolute error: "));
  models = {shift_model("operator", 0.5), shift_model("corrector_mean", 0.5)};
  const auto bad = verdict(make_table({evaluate_set(wave_input(data), models)}));
  CHECK(contains(bad, "operator: does NOT beat every baseline"));
  CHECK(contains(bad, "corrector_mean: does not help against the operator alone: leaves one-step nRMSE as it is"));
}

TEST_CASE("options of ups-eval", "[eval]") {
  CLI::App app;
  EvalArgs args;
  add_eval_options(app, args);
  app.parse("--run r --split val --horizon 5 --initial-step 2 --ensemble 4 --sampler euler:4 --no-plots --print-json", false);
  CHECK(args.run == "r");
  CHECK(args.split == "val");
  CHECK(args.horizon == 5);
  CHECK(args.ensemble == 4);
  CHECK_FALSE(args.plots);
  CHECK(args.print_json);
  CHECK(parse_sampler(args.sampler).steps == 4);
  for (const char* bad : {"heun", "heun:", "heun:0", "rk4:3", "heun:3x", ":4"}) CHECK_THROWS_AS(parse_sampler(bad), Error);
}
