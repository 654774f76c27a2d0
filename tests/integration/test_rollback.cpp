// Poisoned batches in the autoencoder stage: skipped or rolled back, counted, and blamed on a term and a parameter.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <nlohmann/json.hpp>

#include "run_fixture.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"
#include "ups/train/loader_source.h"
#include "ups/train/trainer.h"

using namespace ups;

namespace {

// Batch numbers since the start of the training, each with a factor for its fields.
using Poison = std::map<int64_t, double>;

class PoisonedSource : public train::BatchSource {
 public:
  PoisonedSource(std::unique_ptr<train::BatchSource> source, Poison poison) : source_(std::move(source)), poison_(std::move(poison)) {}
  int64_t batches() const override { return source_->batches(); }
  train::TensorBatch get(int64_t epoch, int64_t index) override {
    train::TensorBatch batch = source_->get(epoch, index);
    if (const auto it = poison_.find(epoch * batches() + index); it != poison_.end()) batch.fields = batch.fields * it->second;
    return batch;
  }

 private:
  std::unique_ptr<train::BatchSource> source_;
  Poison poison_;
};

struct Result {
  double score = 0;
  train::RunState state;
  std::vector<nlohmann::json> records;
};

Result trained(const std::string& policy, const Poison& poison) {
  run::Overrides overrides;
  overrides.sets = {"latent={dim: 4, widths: [6, 8, 8]}", "stages.autoencoder={epochs: 10, optimizer: {name: muon_hybrid, lr: 1e-3}}", "training.nan_policy=" + policy,
                    "training.rollback_every=10"};
  const run::RunConfig c = run::load_run_config({test::tiny_config()}, overrides).config;
  run::prepare_process(c);
  train::CheckpointStore store(test::scratch() / "none", 1);
  auto space = stages::open_field_space(c.data, 1, at::kCPU);
  auto built = run::build_stage(c, "autoencoder", *space, store);
  data::LoaderSpec spec;
  spec.batch_size = 16;
  spec.window = 1;
  PoisonedSource batches(std::make_unique<train::LoaderSource>(*space->dataset, space->normalizer, spec, at::kCPU), poison);
  Result r;
  train::Hooks hooks;
  hooks.metrics = [&](const io::JsonLine& line) { r.records.push_back(nlohmann::json::parse(line.text())); };
  train::Trainer trainer(*built.stage, batches, run::resolve_stage(c, "autoencoder"), at::kCPU, hooks);
  r.state = trainer.run().state;
  r.score = r.state.best;
  return r;
}

const Poison kThree{{17, NAN}, {55, NAN}, {93, INFINITY}};

}  // namespace

TEST_CASE("three poisoned batches cost less than 5 % under skip and rollback") {
  const Result clean = trained("skip", {});
  CHECK(clean.state.skipped == 0);
  for (const std::string policy : {"skip", "rollback"}) {
    INFO(policy);
    const Result r = trained(policy, kThree);
    CHECK(r.state.skipped == 3);
    CHECK(r.state.rollbacks == (policy == "skip" ? 0 : 3));
    INFO(r.score << " against " << clean.score);
    CHECK(r.score < 1.05 * clean.score);
    const auto skip = std::find_if(r.records.begin(), r.records.end(), [](const auto& j) { return j["kind"] == "skip"; });
    REQUIRE(skip != r.records.end());
    const std::string who = (*skip)["not_finite"];
    CHECK(who.find("loss term reconstruction") != std::string::npos);
    CHECK(who.find("gradient of encoder.stem.weight") != std::string::npos);
  }
}

TEST_CASE("a loss far above its average is rolled back too") {
  const Result r = trained("rollback", {{60, 1e4}});
  CHECK(r.state.skipped == 0);
  CHECK(r.state.rollbacks == 1);
  CHECK(std::count_if(r.records.begin(), r.records.end(), [](const auto& j) { return j["kind"] == "rollback"; }) == 1);
}

TEST_CASE("poison without end is given up, with a way out") {
  Poison all;
  for (int64_t i = 20; i < 1000; ++i) all[i] = NAN;
  try {
    trained("rollback", all);
    FAIL("went on for ever");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::diverged);
    CHECK(e.line().find("rollbacks") != std::string::npos);
  }
}
