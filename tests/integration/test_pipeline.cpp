// Every stage through every trainer feature; resume equal to the uninterrupted run byte for byte; artefacts of other data refused.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "run_fixture.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/io/torch_file.h"
#include "ups/run/evaluate_run.h"
#include "ups/run/pipeline.h"
#include "ups/train/checkpoint.h"
#include "ups/train/run_state.h"

using namespace ups;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kStages{"operator", "diff_residual", "consistency_distill", "steady_prior"};

std::vector<nlohmann::json> epochs(const fs::path& run) {
  std::vector<nlohmann::json> out;
  for (const auto& line : test::stable_records(run)) out.push_back(nlohmann::json::parse(line));
  return out;
}

struct Feature {
  std::string name;
  std::vector<std::string> sets;
};

const std::vector<Feature> kFeatures{
    {"accumulation with a short last group", {"training.accum_steps=3"}},
    {"no clip, no average", {"training.grad_clip=null", "training.ema_decay=null"}},
    {"clip by the norm's average", {"training.grad_clip=ema"}},
    {"bf16", {"training.amp=true"}},
    {"fp16 with loss scaling", {"training.amp=true", "training.amp_dtype=float16"}},
    {"adam and steplr", {"optimizer={name: adam, lr: 1e-3, scheduler: {name: steplr, step_size: 1, gamma: 0.5}}"}},
    {"sgd and cosine", {"optimizer={name: sgd, lr: 1e-3, momentum: 0.9, scheduler: {name: cosineannealinglr, t_max: 4, eta_min: 1e-5}}"}},
    {"muon_hybrid and warmup_cosine", {"optimizer={name: muon_hybrid, lr: 1e-3, scheduler: {name: warmup_cosine, warmup_fraction: 0.2}}"}},
    {"plateau and patience", {"optimizer={name: adamw, lr: 1e-3, scheduler: {name: reducelronplateau, patience: 0}}", "training.patience=0"}},
    {"wsd, exports per epoch", {"optimizer={name: adamw, lr: 1e-3, scheduler: {name: wsd, decay_fraction: 0.5}}", "training.checkpoint_interval=1"}},
    {"reader threads", {"training.num_workers=2"}},
};

}  // namespace

TEST_CASE("the whole pipeline trains, evaluates and exports", "[pipeline]") {
  const fs::path run = test::prepared("none-missing");
  for (const char* file : {"operator", "operator_ema", "diffusion_residual", "diffusion_residual_ema", "diffusion_residual_teacher", "steady_prior",
                           "steady_prior_ema"}) {
    INFO(file);
    CHECK(fs::exists(run / "checkpoints" / (std::string(file) + ".pt")));
    CHECK_FALSE(io::load_pt(run / "checkpoints" / (std::string(file) + ".pt")).empty());
  }
  std::ifstream in(run / "eval/evaluation.json");
  const auto j = nlohmann::json::parse(in);
  std::set<std::string> rows;
  for (const auto& row : j["table"]) {
    rows.insert(row["set"].get<std::string>() + "/" + row["model"].get<std::string>());
    CHECK(row["one_step_nrmse"].is_number());
  }
  for (const char* row : {"advection1d/persistence", "advection1d/climatology", "advection1d/operator", "advection1d/corrector_mean",
                          "advection1d/corrector_sample", "advection1d/student_1step", "advection1d/student_2step", "darcy2d/climatology", "darcy2d/steady_prior"})
    CHECK(rows.count(row) == 1);
}

TEST_CASE("every stage through every trainer feature, interrupted and resumed", "[pipeline]") {
  for (const auto& stage : kStages) {
    for (const auto& feature : kFeatures) {
      INFO(stage << ": " << feature.name);
      const fs::path straight = test::prepared(stage), broken = test::prepared(stage);
      CHECK(test::train(stage, straight, feature.sets) == 0);
      CHECK(test::train(stage, broken, feature.sets, false, "3u") == 0);
      CHECK_FALSE(test::final_state(broken, stage).finished);
      CHECK(test::train(stage, broken, feature.sets, true) == 0);
      const auto a = test::newest_files(straight, stage), b = test::newest_files(broken, stage);
      REQUIRE(a.size() >= 2);
      REQUIRE(a.size() == b.size());
      for (const auto& [name, bytes] : a) {
        INFO(name);
        CHECK(bytes == b.at(name));
      }
      CHECK(test::stable_records(straight) == test::stable_records(broken));
      const auto state = test::final_state(straight, stage);
      CHECK(state.finished);
      CHECK(state.updates > 3);
      CHECK(state.best < 1e3);
    }
  }
}

TEST_CASE("what each feature does shows in the records", "[pipeline]") {
  const fs::path plain = test::prepared("operator"), accumulated = test::prepared("operator"), exports = test::prepared("operator");
  REQUIRE(test::train("operator", plain) == 0);
  REQUIRE(test::train("operator", accumulated, {"training.accum_steps=3"}) == 0);
  const int64_t one = test::final_state(plain, "operator").updates, three = test::final_state(accumulated, "operator").updates;
  CHECK(three == 2 * ((one / 2 + 2) / 3));  // the last group of each of the two epochs is short
  REQUIRE(test::train("operator", exports, {"training.checkpoint_interval=1", "training.grad_clip=null"}) == 0);
  CHECK(fs::exists(exports / "checkpoints/operator_epoch_1.pt"));
  const auto records = epochs(exports);
  REQUIRE(records.size() == 2);
  CHECK(records[0]["operator/grad_norm"].get<double>() > 0);  // reported although nothing is clipped
  for (const char* key : {"operator/loss", "operator/lr", "operator/epoch", "operator/epochs_since_improve", "operator/best_loss", "global_step"})
    CHECK(records[0].contains(key));
  std::ifstream flat(exports / "reports/training_log.jsonl");
  std::string line;
  REQUIRE(std::getline(flat, line));
  const auto first = nlohmann::json::parse(line);
  CHECK(first["best_loss"].is_null());  // UPS logs the value before the epoch
  CHECK(first["stage"] == "operator");
}

TEST_CASE("a budget in CPU time ends training with the schedule at its end", "[pipeline]") {
  const fs::path run = test::scratch() / "budget";
  const std::vector<std::string> sets{"training.cpu_seconds=1.5",      "stages.operator.epochs=1000000",          "training.validate_every=1000000",
                                      "evaluation.enabled=false", "optimizer.scheduler.name=warmup_cosine", "optimizer.scheduler.eta_min=1e-9"};
  REQUIRE(test::train("operator", run, sets) == 0);
  std::ifstream in(run / "metrics.jsonl");
  nlohmann::json last, step;
  for (std::string line; std::getline(in, line);) {
    const auto record = nlohmann::json::parse(line);
    if (record["kind"] == "epoch") last = record;
    if (record["kind"] == "step") step = record;
  }
  CHECK(last.contains("operator/val_score"));  // the last, cut epoch is judged
  CHECK(last["operator/lr"].get<double>() < 2e-5);
  CHECK(last["update"].get<int64_t>() > 20);
  for (const char* what : {"grad_norm", "weight_rms", "update_rms", "update_rms_nominal"})
    CHECK(step["operator/" + std::string(what) + "_adamw"].get<double>() > 0);
  // Done: nothing is left to train.
  const auto records = test::stable_records(run);
  REQUIRE(test::train("operator", run, sets, true) == 0);
  CHECK(test::stable_records(run) == records);
}

TEST_CASE("an overflowing loss skips updates, and abort ends with exit 5", "[pipeline]") {
  const fs::path run = test::prepared("operator");
  // A learning rate that destroys the weights: sooner or later nothing is finite any more.
  try {
    test::train("operator", run, {"optimizer={name: sgd, lr: 100, momentum: 0}", "training.grad_clip=null", "training.nan_policy=abort", "stages.operator.epochs=20"});
    FAIL("diverged run ended normally");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::diverged);
    CHECK(e.line().find("operator") != std::string::npos);
  }
}

TEST_CASE("rollout modes of the operator train and resume", "[pipeline]") {
  for (const std::string mode : {"noise", "pushforward", "unroll"}) {
    INFO(mode);
    const std::vector<std::string> sets{"stages.operator.rollout={mode: " + mode + ", steps: 2, start_frac: 0.5}", "training.lambda_spectral=0.01",
                                        "training.lambda_relative=0.1", "training.lambda_rollout=0.1"};
    const fs::path straight = test::prepared("operator"), broken = test::prepared("operator");
    CHECK(test::train("operator", straight, sets) == 0);
    CHECK(test::train("operator", broken, sets, false, "5u") == 0);
    CHECK(test::train("operator", broken, sets, true) == 0);
    CHECK(test::newest_files(straight, "operator") == test::newest_files(broken, "operator"));
  }
}

TEST_CASE("artefacts of other data are refused, naming both hashes", "[pipeline]") {
  const fs::path run = test::prepared("diff_residual");
  try {
    test::train("diff_residual", run, {"data.split_seed=9"});
    FAIL("another split was accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::checkpoint);
    CHECK(e.line().find("split") != std::string::npos);
  }
  const fs::path missing = test::prepared("operator");
  CHECK_THROWS_AS(test::train("diff_residual", missing), Error);
  try {
    test::train("steady_prior", test::prepared("steady_prior"), {"stages.steady_prior.data=null"});
    FAIL("a transient set was accepted by the steady prior");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::data);
  }
}

TEST_CASE("--exact refuses a resume that could differ in bits", "[pipeline]") {
  const auto dir = test::scratch() / "exact";
  REQUIRE(test::train("operator", dir, {}, false, "5u") == 0);
  run::TrainArgs args;
  args.configs = {test::tiny_config()};
  args.stage = "operator";
  args.run_dir = dir.string();
  args.resume = run::TrainArgs::Resume::automatic;
  args.exact = args.allow_config_change = true;
  args.threads = 2;
  try {
    (void)run::run_training(args, "test");
    FAIL("two threads continued a run of one");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::checkpoint);
    CHECK(e.line().find("threads 1, this process has 2") != std::string::npos);
  }
  args.threads = 1;
  CHECK(run::run_training(args, "test") == 0);
}

TEST_CASE("a finished stage is not trained again, a changed configuration is refused", "[pipeline]") {
  const fs::path run = test::scratch() / "again";
  REQUIRE(test::train("operator", run) == 0);
  const auto before = test::newest_files(run, "operator");
  REQUIRE(test::train("operator", run, {}, true) == 0);
  CHECK(test::newest_files(run, "operator") == before);
  try {
    test::train("operator", run, {"training.batch_size=8"}, true, "", false);
    FAIL("a changed configuration was accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::checkpoint);
    CHECK(e.line().find("batch_size") != std::string::npos);
  }
}

TEST_CASE("the reference core trains on patches", "[pipeline]") {
  const std::vector<std::string> sets{"operator={architecture_type: pdet_unet, pdet: {input_dim: 8, hidden_dim: 16, group_size: 8, num_heads: 2, depths: [1, 1]}}",
                                      "latent.dim=8"};
  const fs::path run = test::scratch() / "patches";
  CHECK(test::train("operator", run, sets) == 0);
  CHECK(test::final_state(run, "operator").best < 1e3);
}

TEST_CASE("opponents train as operators and as deterministic steady solvers", "[pipeline]") {
  const std::vector<std::string> sizes{"operator.fno={width: 8, modes: 4, head: 16}", "operator.unet={features: 4, levels: 3}", "evaluation.equal_compute=false", "stages.operator.epochs=8"};
  const std::vector<std::vector<std::string>> trainers{{}, {"optimizer={name: muon_hybrid, lr: 5.0e-3}", "training.amp=true"}};
  int count = 0;
  for (const std::string architecture : {"fno", "unet"}) {
    for (const auto& trainer : trainers) {
      INFO(architecture << " " << count);
      auto sets = sizes;
      sets.push_back("operator.architecture_type=" + architecture);
      for (const std::string later : {"diff_residual", "consistency_distill"}) sets.push_back("stages." + later + ".epochs=0");
      sets.insert(sets.end(), trainer.begin(), trainer.end());
      const fs::path run = test::scratch() / ("opponent" + std::to_string(count++));
      CHECK(test::train("all", run, sets) == 0);
      const auto all = epochs(run);
      CHECK(all.at(7).at("operator/loss").get<double>() < all.at(0).at("operator/loss").get<double>());
      std::ifstream in(run / "eval/evaluation.json");
      const auto report = nlohmann::json::parse(in);
      std::set<std::string> rows;
      for (const auto& row : report.at("table")) rows.insert(row.at("model").get<std::string>());
      CHECK(rows == std::set<std::string>{"persistence", "climatology", "operator", "steady_prior"});  // no samples: they know no noise
    }
  }
}

TEST_CASE("objective reference: all four stages on UPS's latent space, interrupted and resumed", "[pipeline]") {
  const std::vector<std::string> sets{"latent={space: reference, dim: 8, tokens: 8}",
                                      "operator={pdet: {input_dim: 8, hidden_dim: 16, group_size: 8, num_heads: 2, depths: [1, 1]}}",
                                      "diffusion={objective: reference, latent_dim: 8, hidden_dim: 12}",
                                      "stages.operator.objective=reference",
                                      "stages.consistency_distill.objective=reference",
                                      "stages.steady_prior.objective=reference",
                                      "stages.steady_prior.data=null",
                                      "training.semantics=reference"};
  const fs::path straight = test::scratch() / "reference-straight", broken = test::scratch() / "reference-broken";
  for (const auto& stage : kStages) {
    INFO(stage);
    auto with_epochs = sets;
    with_epochs.push_back("stages." + stage + ".epochs=2");
    CHECK(test::train(stage, straight, with_epochs) == 0);
    CHECK(test::train(stage, broken, with_epochs, false, "3u") == 0);
    CHECK(test::train(stage, broken, with_epochs, true) == 0);
    CHECK(test::newest_files(straight, stage) == test::newest_files(broken, stage));
  }
}
