// The pipeline in the latent space of a trained autoencoder; several optimizers in one stage; refusal of another autoencoder.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <fstream>
#include <nlohmann/json.hpp>

#include "run_fixture.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/run/evaluate_run.h"
#include "ups/stages/field_space.h"

using namespace ups;
namespace fs = std::filesystem;

namespace {

std::vector<std::string> latent_sets(std::vector<std::string> more = {}) {
  std::vector<std::string> sets{"latent={space: ae, dim: 4, widths: [6, 8, 8]}", "data.patch_size=1", "stages.autoencoder={epochs: 2}",
                                "operator.pdet={hidden_dim: 8, depths: [1, 1], num_heads: 2, modes: 2, mlp_ratio: 1}", "stages.steady_prior.epochs=0"};
  sets.insert(sets.end(), more.begin(), more.end());
  return sets;
}

fs::path fresh(const std::string& name) { return test::scratch() / ("latent-" + name); }

std::string slurp(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// All stages once.
const fs::path& trained() {
  static const fs::path dir = [] {
    const fs::path path = fresh("all");
    REQUIRE(test::train("all", path, latent_sets()) == 0);
    return path;
  }();
  return dir;
}

}  // namespace

TEST_CASE("every stage works on latents, and the report says what they cost", "[latent]") {
  const std::string report = slurp(trained() / "eval/evaluation.txt");
  for (const char* row : {"operator", "corrector_mean", "corrector_sample", "student_1step"}) CHECK(report.find(row) != std::string::npos);
  CHECK(report.find("autoencoder: loses") != std::string::npos);
  CHECK(slurp(trained() / "plots/autoencoder.svg").find("reconstruction") != std::string::npos);
  for (const char* file : {"autoencoder.pt", "autoencoder_ema.pt", "operator.pt"}) CHECK(fs::exists(trained() / "checkpoints" / file));
}

TEST_CASE("an autoencoder with every term, adversary and optimizer resumes to the same bytes", "[latent]") {
  // Several optimizers under one scaler: fp16 scales the one backward pass, and all of them are unscaled or skipped together.
  for (const auto& [loss, amp] : {std::pair<std::string, std::string>{"sum", "false"}, {"lbo", "false"}, {"sum", "true"}}) {
    INFO(loss << ", fp16 " << amp);
    const auto sets = latent_sets({"stages.autoencoder={epochs: 2, kind: vae, loss: " + loss +
                                   ", optimizer: {name: muon_hybrid, lr: 1e-3}, discriminator: {patch: true, tc: true, start_frac: 0.2}}",
                                   "training.nan_policy=rollback", "training.rollback_every=4", "training.amp=" + amp, "training.amp_dtype=float16"});
    const fs::path straight = fresh("straight-" + loss + amp), broken = fresh("broken-" + loss + amp);
    CHECK(test::train("autoencoder", straight, sets) == 0);
    CHECK(test::train("autoencoder", broken, sets, false, "13u") == 0);
    CHECK(test::train("autoencoder", broken, sets, true) == 0);
    const auto files = test::newest_files(straight, "autoencoder");
    CHECK(files == test::newest_files(broken, "autoencoder"));
    CHECK(files.at("optim.safetensors").find("adversary/patch/layer0.weight") != std::string::npos);
    CHECK(files.at("optim.safetensors").find("adversary/total_correlation/") != std::string::npos);
  }
}

TEST_CASE("a later stage refuses another autoencoder", "[latent]") {
  const fs::path run = test::copy_run(trained(), "latent-other");
  fs::remove_all(run / "ckpt/autoencoder");
  CHECK(test::train("autoencoder", run, latent_sets({"seed=5"})) == 0);
  run::EvalArgs eval;
  eval.run = run.string();
  for (const bool evaluating : {true, false}) {
    try {
      if (evaluating) run::run_evaluation(eval, "test");
      else test::train("diff_residual", run, latent_sets({"stages.diff_residual.epochs=3"}), true);
      FAIL("another autoencoder was accepted");
    } catch (const Error& e) {
      INFO(e.line());
      CHECK(e.code() == ExitCode::checkpoint);
      CHECK(e.line().find("autoencoder") != std::string::npos);
    }
  }
}

TEST_CASE("the same weights give the same latents after a save and a load", "[latent]") {
  const auto once = slurp(trained() / "eval/evaluation.json");
  run::EvalArgs eval;
  eval.run = trained().string();
  run::run_evaluation(eval, "test");
  const auto rows = [](const std::string& text) {
    auto table = nlohmann::json::parse(text)["table"];
    for (auto& row : table) row.erase("ms_per_step");
    return table;
  };
  CHECK(rows(once) == rows(slurp(trained() / "eval/evaluation.json")));
}

TEST_CASE("sizes that do not fit are refused before anything is trained", "[latent]") {
  const auto refused = [](const std::string& set, const std::string& part) {
    try {
      test::train("autoencoder", fresh("refused"), latent_sets({set}));
    } catch (const Error& e) {
      INFO(e.line());
      CHECK(e.code() == ExitCode::usage);
      return e.line().find(part) != std::string::npos;
    }
    return false;
  };
  CHECK(refused("latent.widths=[4, 4, 4, 4, 4, 4]", "latent.widths"));
  CHECK(refused("latent.widths=[4]", "latent.widths"));
  CHECK(refused("operator.conserve=[u]", "operator.conserve"));
  CHECK(refused("stages.autoencoder={epochs: 1, loss: lbo, lbo: {goals: {realism: {}}}}", "realism"));
}

TEST_CASE("a trained autoencoder loses less than half of what a frozen random encoder with the best linear decoder loses", "[latent]") {
  run::Overrides overrides;
  overrides.sets = latent_sets();
  const run::RunConfig c = run::load_run_config({test::tiny_config()}, overrides).config;
  auto space = stages::open_field_space(c.data, 1, at::kCPU);
  // UPS's encoder: latents are an affine copy of the field's means over blocks, as many as the autoencoder has tokens.
  const int64_t tokens = 8, cells = space->info().cells();
  const auto fields = [&](data::Split split) { return stages::hold_out(*space, split, 100, 1).fields.flatten(0, 1).flatten(1); };  // [N, cells]
  const auto latents = [&](const at::Tensor& x) { return at::cat({x.view({-1, tokens, cells / tokens}).mean(2), at::ones({x.size(0), 1})}, 1); };
  const at::Tensor x = fields(data::Split::train), truth = fields(data::Split::val);
  const at::Tensor decoder = std::get<0>(at::linalg_lstsq(latents(x), x));
  const at::Tensor error = at::mm(latents(truth), decoder) - truth;
  const double linear = (error.norm(2, 1) / truth.norm(2, 1)).mean().item<double>();
  const double trained = test::final_state(::trained(), "autoencoder").best;
  INFO(trained << " against " << linear);
  CHECK(linear > 0.05);
  CHECK(trained < 0.5 * linear);
}
