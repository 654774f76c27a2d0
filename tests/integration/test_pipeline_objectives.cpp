// The stages' objectives through the trainer: resume equal to the uninterrupted run, evaluation with what they left.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "run_fixture.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/run/distill_report.h"
#include "ups/run/evaluate_run.h"

using namespace ups;
namespace fs = std::filesystem;
using test::prepared;

namespace {

// Interrupted and resumed equals straight, and the exported weights are the trained ones.
void check_resumed(const std::string& stage, const std::vector<std::string>& sets, const fs::path& straight) {
  const fs::path broken = prepared(stage);
  CHECK(test::train(stage, straight, sets) == 0);
  CHECK(test::train(stage, broken, sets, false, "3u") == 0);
  CHECK(test::train(stage, broken, sets, true) == 0);
  CHECK(test::newest_files(straight, stage) == test::newest_files(broken, stage));
  CHECK(fs::exists(straight / "checkpoints/diffusion_residual_ema.pt"));
}

std::set<std::string> scored_rows(const fs::path& run) {
  run::EvalArgs eval;
  eval.run = run.string();
  eval.plots = false;
  REQUIRE(run::run_evaluation(eval, "test") == 0);
  std::ifstream in(run / "eval/evaluation.json");
  std::set<std::string> rows;
  const auto report = nlohmann::json::parse(in);
  for (const auto& row : report["table"]) {
    rows.insert(row["model"].get<std::string>() + ":" + std::to_string(row["nfe"].get<int64_t>()));
    CHECK(row["one_step_nrmse"].is_number());
  }
  return rows;
}

}  // namespace

TEST_CASE("every objective of the corrector trains, resumes, and is scored with its own sampler", "[pipeline]") {
  const std::map<std::string, int> evaluations{{"edm", 3}, {"refiner", 5}, {"crps", 2}};  // with the operator's; euler:2
  for (const auto& [objective, count] : evaluations) {
    INFO(objective);
    const fs::path run = prepared("diff_residual");
    check_resumed("diff_residual", {"diffusion.objective=" + objective}, run);
    const auto rows = scored_rows(run);
    CHECK(rows.count("corrector_mean:2") == 1);
    CHECK(rows.count("corrector_sample:" + std::to_string(count)) == 1);
  }
  const fs::path samples_only = prepared("diff_residual");
  CHECK(test::train("diff_residual", samples_only, {"diffusion.objective=crps", "diffusion.null_token_share=0"}) == 0);
  CHECK(scored_rows(samples_only).count("corrector_mean:2") == 0);
}

TEST_CASE("every objective of the distillation trains and resumes, and its report reads what it left", "[pipeline]") {
  for (const std::string objective : {"cd", "direct"}) {
    INFO(objective);
    const fs::path run = prepared("consistency_distill");
    check_resumed("consistency_distill", {"stages.consistency_distill.objective=" + objective}, run);
    const auto rows = scored_rows(run);
    CHECK(rows.count("student_1step:2") == 1);
    CHECK(rows.count("student_2step:3") == (objective == "cd" ? 1 : 0));
  }
  const fs::path edm = prepared("diff_residual");
  for (const char* stage : {"diff_residual", "consistency_distill"}) CHECK(test::train(stage, edm, {"diffusion.objective=edm"}) == 0);
  run::DistillReportArgs args;
  args.run = edm.string();
  args.members = 2;
  args.windows = 1;
  REQUIRE(run::run_distill_report(args, "test") == 0);
  std::ifstream in(edm / "eval/distill.json");
  const auto report = nlohmann::json::parse(in);
  REQUIRE(report["rows"].size() == 9);
  CHECK(report["rows"][0]["path_error"] == 0.0);
  CHECK(report["rows"][0]["nfe"] == 127);
  CHECK(report["rows"][8]["sampler"] == "student 4");
  for (const auto& row : report["rows"]) CHECK(row["fair_crps"].is_number());
}

TEST_CASE("a corrector without an ODE is not distilled", "[pipeline]") {
  const fs::path run = prepared("consistency_distill");
  CHECK_THROWS_AS(test::train("consistency_distill", run, {"diffusion.objective=crps"}), Error);
  CHECK_THROWS_AS(test::train("all", test::scratch() / "undistilled", {"diffusion.objective=crps"}), Error);
  CHECK_FALSE(fs::exists(test::scratch() / "undistilled"));
  CHECK_THROWS_AS(test::train("consistency_distill", run, {"stages.diff_residual.objective=refiner"}), Error);
}

TEST_CASE("an attractor prior trains on frames, resumes and is scored by draws", "[pipeline]") {
  const std::vector<std::string> sets{"stages.steady_prior.objective=attractor", "stages.steady_prior.data=null"};
  const fs::path straight = prepared("steady_prior"), broken = prepared("steady_prior");
  REQUIRE(test::train("steady_prior", straight, sets) == 0);
  CHECK(test::train("steady_prior", broken, sets, false, "3u") == 0);
  CHECK(test::train("steady_prior", broken, sets, true) == 0);
  CHECK(test::newest_files(straight, "steady_prior") == test::newest_files(broken, "steady_prior"));
  run::EvalArgs args;
  args.run = straight.string();
  REQUIRE(run::run_evaluation(args, "test") == 0);
  std::ifstream in(straight / "eval/attractor.json");
  const auto j = nlohmann::json::parse(in);
  CHECK(j["samples"].get<int64_t>() > 4);
  CHECK(j["ratio"].get<double>() > 0);
}
