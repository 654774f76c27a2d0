// What an evaluation writes: JSON, CSV, predictions, pictures, verdict; the options of ups-eval.
#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "eval_fake_models.h"
#include "ups/core/error.h"
#include "ups/io/hdf5.h"
#include "ups/run/eval_cli.h"
#include "ups/run/eval_plots.h"
#include "ups/run/predictions.h"
#include "ups/run/run_config.h"
#include "ups/run/verdict.h"

using namespace ups;
using namespace ups::run;
using namespace ups::test;

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
