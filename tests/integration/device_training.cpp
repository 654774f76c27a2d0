#include "device_training.h"

#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "run_fixture.h"
#include "ups/run/debug_sync.h"
#include "ups/run/pipeline.h"
#include "ups/run/stage_factory.h"
#include "ups/train/loader_source.h"
#include "ups/train/trainer.h"

namespace ups::test {
namespace {

// All batches of an epoch, moved before the first update.
class Resident : public train::BatchSource {
 public:
  Resident(stages::FieldSpace& space, int64_t batch_size, int64_t window) {
    data::LoaderSpec spec;
    spec.batch_size = batch_size;
    spec.window = window;
    train::LoaderSource loader(*space.dataset, space.normalizer, spec, space.device);
    for (int64_t i = 0; i < loader.batches(); ++i) batches_.push_back(loader.get(0, i));
  }
  int64_t batches() const override { return static_cast<int64_t>(batches_.size()); }
  train::TensorBatch get(int64_t, int64_t index) override { return batches_[static_cast<size_t>(index)]; }

 private:
  std::vector<train::TensorBatch> batches_;
};

const std::filesystem::path& trained_run() {
  static const std::filesystem::path dir = [] {
    const auto path = scratch() / "device-base";
    REQUIRE(train("all", path, {"evaluation.enabled=false", "stages.steady_prior.epochs=1"}) == 0);
    return path;
  }();
  return dir;
}

}  // namespace

at::Device device_under_test() {
  const char* name = std::getenv("UPS_TEST_DEVICE");
  return name != nullptr ? at::Device(name) : fake_device();
}

Trained train_on(const TrainOn& what) {
  const at::Device device = what.device;
  const std::string& key = what.key;
  run::Overrides overrides;
  overrides.sets = what.sets;
  const run::RunConfig c = run::load_run_config({tiny_config()}, overrides).config;
  train::CheckpointStore store(trained_run() / "ckpt", 3);
  auto space = stages::open_field_space(run::stage_data(c, key), 1, device);
  auto built = run::build_stage(c, key, *space, store);
  built.stage->module().to(device);
  auto settings = run::resolve_stage(c, key);
  settings.settle_every = what.settle_every;
  settings.epochs = 3;
  settings.compile_warmup = 3;
  Resident batches(*space, 10, built.window);
  Trained out;
  int64_t steps = 0;
  train::Hooks hooks;
  hooks.stop_here = [&](const train::RunState&) {
    steps += 1;
    if (steps == 2) {
      (void)take_device_trace();
      out.before = device_counts();
    }
    if (steps == 6) {
      out.after = device_counts();
      out.trace = take_device_trace();
    }
    return steps == what.updates;
  };
  hooks.graph_recorder = what.recorder;
  std::vector<bool> watched;
  hooks.forbid_sync = [&](bool on) {
    watched.push_back(on);
    run::forbid_host_sync(on && steps >= 2);  // on a CUDA device a wait throws; the first steps may allocate and cache
  };
  REQUIRE(settings.epochs * batches.batches() >= what.updates);
  train::Trainer trainer(*built.stage, batches, settings, device, hooks);
  (void)trainer.run();
  for (size_t i = 0; i < watched.size(); ++i) CHECK(watched[i] == (i % 2 == 0));
  CHECK(watched.size() == static_cast<size_t>(2 * what.updates));
  for (const auto& [name, t] : built.stage->module().state()) out.weights.push_back(t.to(at::kCPU).to(at::kDouble));
  return out;
}

}  // namespace ups::test
