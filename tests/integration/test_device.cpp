// The training step on a device: on the fake GPU of tests/support/fake_device.h no update waits for the device or copies to or from
// it, and its numbers are those of the CPU. UPS_TEST_DEVICE=cuda compares a real device's numbers instead (scripts/gpu_check.sh).
#include <ATen/ATen.h>

#include <catch2/catch.hpp>
#include <cstdlib>

#include "fake_device.h"
#include "run_fixture.h"
#include "ups/run/pipeline.h"
#include "ups/run/debug_sync.h"
#include "ups/run/stage_factory.h"
#include "ups/train/loader_source.h"
#include "ups/train/trainer.h"

using namespace ups;

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

struct Trained {
  test::DeviceCounts before, after;
  std::string trace;
  std::vector<at::Tensor> weights;
};

at::Device device_under_test() {
  const char* name = std::getenv("UPS_TEST_DEVICE");
  return name != nullptr ? at::Device(name) : test::fake_device();
}

Trained train_on(at::Device device, const std::string& key, const std::vector<std::string>& sets, const std::filesystem::path& run_dir,
                 int64_t settle_every = 1000) {
  run::Overrides overrides;
  overrides.sets = sets;
  const run::RunConfig c = run::load_run_config({test::tiny_config()}, overrides).config;
  train::CheckpointStore store(run_dir / "ckpt", 3);
  auto space = stages::open_field_space(run::stage_data(c, key), 1, device);
  auto built = run::build_stage(c, key, *space, store);
  built.stage->module().to(device);
  auto settings = run::resolve_stage(c, key);
  settings.settle_every = settle_every;
  settings.epochs = 3;
  Resident batches(*space, 10, built.window);
  Trained out;
  int64_t steps = 0;
  train::Hooks hooks;
  hooks.stop_here = [&](const train::RunState&) {
    steps += 1;
    if (steps == 2) {
      (void)test::take_device_trace();
      out.before = test::device_counts();
    }
    if (steps == 6) {
      out.after = test::device_counts();
      out.trace = test::take_device_trace();
    }
    return steps == 6;
  };
  std::vector<bool> watched;
  hooks.forbid_sync = [&](bool on) {
    watched.push_back(on);
    run::forbid_host_sync(on && steps >= 2);  // on a CUDA device a wait throws; the first steps may allocate and cache
  };
  REQUIRE(batches.batches() >= 6);
  train::Trainer trainer(*built.stage, batches, settings, device, hooks);
  (void)trainer.run();
  for (size_t i = 0; i < watched.size(); ++i) CHECK(watched[i] == (i % 2 == 0));
  CHECK(watched.size() == 12);
  for (const auto& [name, t] : built.stage->module().state()) out.weights.push_back(t.to(at::kCPU).to(at::kDouble));
  return out;
}

const std::filesystem::path& trained_run() {
  static const std::filesystem::path dir = [] {
    const auto path = test::scratch() / "device-base";
    REQUIRE(test::train("all", path, {"evaluation.enabled=false", "stages.steady_prior.epochs=1"}) == 0);
    return path;
  }();
  return dir;
}

}  // namespace

TEST_CASE("the fake device refuses mixtures and counts waits") {
  const auto device = test::fake_device();
  const at::Tensor a = at::ones({3, 3}).to(device);
  CHECK_THROWS(at::matmul(a, at::ones({3, 3})));
  const auto before = test::device_counts();
  CHECK(a.sum().item<float>() == 9.0F);
  CHECK(test::device_counts().syncs == before.syncs + 1);
  (void)a.to(at::kCPU);
  CHECK(test::device_counts().to_host == before.to_host + 1);
}

TEST_CASE("an update neither waits for the device nor copies") {
  const std::string key = GENERATE(as<std::string>{}, "operator", "diff_residual", "consistency_distill", "steady_prior");
  const std::string optimizer = GENERATE(as<std::string>{}, "adamw", "muon_hybrid");
  CAPTURE(key, optimizer);
  const std::vector<std::string> sets = {"optimizer.name=" + optimizer};
  const at::Device device = device_under_test();
  const Trained on_device = train_on(device, key, sets, trained_run());
  INFO(on_device.trace);
  if (device == test::fake_device()) CHECK(on_device.after.operators > on_device.before.operators + 100);
  CHECK(on_device.after.syncs == on_device.before.syncs);
  CHECK(on_device.after.to_host == on_device.before.to_host);
  CHECK(on_device.after.to_device == on_device.before.to_device);
  // A real device draws other noise: its stages with noise learn something near, not the same.
  const bool noisy = device != test::fake_device() && key != "operator";
  // Muon multiplies in bf16 there; AdamW's numbers are those of the CPU up to the order of sums.
  const double tolerance = noisy ? 0.2 : optimizer == "adamw" ? 2e-3 : 2e-2;
  const Trained on_cpu = train_on(at::kCPU, key, sets, trained_run());
  double difference = 0, size = 0;
  for (size_t i = 0; i < on_cpu.weights.size(); ++i) {
    difference += (on_device.weights[i] - on_cpu.weights[i]).square().sum().item<double>();
    size += on_cpu.weights[i].square().sum().item<double>();
  }
  CHECK(std::sqrt(difference / size) < tolerance);
}

TEST_CASE("reading the numbers of every update is seen as copies to the host") {
  const Trained t = train_on(test::fake_device(), "operator", {}, trained_run(), 1);
  CHECK(t.after.to_host - t.before.to_host == 4);
}
