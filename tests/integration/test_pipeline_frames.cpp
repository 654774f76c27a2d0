// Which frames the operator sees: a context of several, and data.train_frames.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <fstream>
#include <nlohmann/json.hpp>

#include "run_fixture.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/run/evaluate_run.h"

using namespace ups;
namespace fs = std::filesystem;

TEST_CASE("operators with a context train, resume and are scored as they were validated", "[pipeline]") {
  const std::vector<std::string> common{"operator.context=2", "operator.predict=state", "data.normalization=none", "stages.operator.objective=mse", "evaluation.split=val",
                                        "stages.diff_residual.epochs=0", "stages.consistency_distill.epochs=0", "stages.steady_prior.epochs=0"};
  const std::vector<std::vector<std::string>> networks{{"operator.architecture_type=fno", "operator.fno={width: 8, modes: 4, head: 16}", "stages.operator.rollout={mode: unroll, steps: 0, start_frac: 0}"},
                                                       {"operator.architecture_type=unet", "operator.unet={features: 4, levels: 3}", "stages.operator.rollout={mode: pushforward, start_frac: 0.5}"},
                                                       {"stages.operator.rollout={mode: noise, start_frac: 0}", "training.lambda_rollout=0.1"}};
  for (size_t i = 0; i < networks.size(); ++i) {
    INFO(i);
    auto sets = common;
    sets.insert(sets.end(), networks[i].begin(), networks[i].end());
    const fs::path straight = test::scratch() / ("context" + std::to_string(i)), broken = test::scratch() / ("context-broken" + std::to_string(i));
    CHECK(test::train("all", straight, sets) == 0);
    CHECK(test::train("operator", broken, sets, false, "2u") == 0);
    CHECK(test::train("operator", broken, sets, true) == 0);
    CHECK(test::newest_files(straight, "operator") == test::newest_files(broken, "operator"));
    std::ifstream in(straight / "eval/evaluation.json");
    const auto report = nlohmann::json::parse(in);
    const auto row = std::find_if(report.at("table").begin(), report.at("table").end(), [](const auto& r) { return r.at("model") == "operator"; });
    REQUIRE(row != report.at("table").end());
    CHECK(row->at("rollout_nrmse").get<double>() == Approx(test::final_state(straight, "operator").best).epsilon(1e-4));
  }
}

TEST_CASE("a context that stages or data do not have is refused before training", "[pipeline]") {
  const auto refused = [](const std::string& stage, const std::vector<std::string>& sets, const std::string& part) {
    INFO(part);
    const fs::path run = test::scratch() / "context-refused";
    try {
      test::train(stage, run, sets);
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.line().find(part) != std::string::npos);
    }
    CHECK_FALSE(fs::exists(run));
  };
  refused("operator", {"operator.context=3"}, "more than the 2 frames that data.initial_step gives");
  refused("operator", {"operator.context=2", "training.time_stride=2"}, "more than the 1 frames");
  refused("all", {"operator.context=2"}, "stage diff_residual corrects an operator that sees one frame");
  refused("diff_residual", {"operator.context=2"}, "stage diff_residual corrects an operator that sees one frame");
}

TEST_CASE("train_frames: the evaluation goes beyond them; a start that failed does not block the corrected one", "[pipeline]") {
  const fs::path dir = test::scratch() / "frames";
  CHECK_THROWS_WITH(test::train("operator", dir, {"data.train_frames=1000"}), Catch::Contains("data.train_frames"));
  const auto without_permission = [&](const std::string& frames) { return test::train("operator", dir, {"data.train_frames=" + frames}, false, "", false); };
  REQUIRE(without_permission("4") == 0);
  CHECK_THROWS_WITH(without_permission("5"), Catch::Contains("another configuration"));
  run::EvalArgs args;
  args.run = dir.string();
  args.plots = false;
  run::run_evaluation(args, "test");
  std::ifstream in(dir / "eval/evaluation.json");
  const auto report = nlohmann::json::parse(in);
  CHECK(report.at("extra").at("sets").at("advection1d").at("frames") == 7);  // 9 stored, 2 given
}
