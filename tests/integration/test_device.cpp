// The training step on a device: on the fake GPU of tests/support/fake_device.h no update waits for the device or copies to or from
// it, and its numbers are those of the CPU. UPS_TEST_DEVICE=cuda compares a real device's numbers instead (scripts/gpu_check.sh).
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "device_training.h"

using namespace ups;
using test::train_on, test::Trained;

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
  const std::string key = GENERATE(as<std::string>{}, "operator", "diff_residual", "consistency_distill", "steady_prior", "attractor", "autoencoder");
  const std::string optimizer = GENERATE(as<std::string>{}, "adamw", "muon_hybrid");
  CAPTURE(key, optimizer);
  const bool attractor = key == "attractor";
  const std::string stage = attractor ? "steady_prior" : key;
  std::vector<std::string> sets = {"optimizer.name=" + optimizer, "latent={dim: 4, widths: [6, 8, 8]}", "training.nan_policy=rollback",
                                   "stages.autoencoder={epochs: 3, kind: vae, discriminator: {patch: true, tc: true, start_frac: 0}}"};
  if (attractor) sets.insert(sets.end(), {"stages.steady_prior.objective=attractor", "stages.steady_prior.data=null"});
  const at::Device device = test::device_under_test();
  const Trained on_device = train_on({device, stage, sets});
  INFO(on_device.trace);
  if (device == test::fake_device()) CHECK(on_device.after.operators > on_device.before.operators + 100);
  CHECK(on_device.after.syncs == on_device.before.syncs);
  CHECK(on_device.after.to_host == on_device.before.to_host);
  CHECK(on_device.after.to_device == on_device.before.to_device);
  // A real device draws other noise: its stages with noise learn something near, not the same.
  const bool noisy = device != test::fake_device() && key != "operator";
  // Muon multiplies in bf16 there; AdamW's numbers are those of the CPU up to the order of sums.
  const double tolerance = noisy ? 0.2 : optimizer == "adamw" ? 2e-3 : 2e-2;
  const Trained on_cpu = train_on({at::kCPU, stage, sets});
  double difference = 0, size = 0;
  for (size_t i = 0; i < on_cpu.weights.size(); ++i) {
    difference += (on_device.weights[i] - on_cpu.weights[i]).square().sum().item<double>();
    size += on_cpu.weights[i].square().sum().item<double>();
  }
  CHECK(std::sqrt(difference / size) < tolerance);
}

TEST_CASE("nor does one of any other objective") {
  const auto [key, set] = GENERATE(table<std::string, std::string>({{"diff_residual", "diffusion.objective=edm"},
                                                                    {"diff_residual", "diffusion.objective=refiner"},
                                                                    {"diff_residual", "diffusion.objective=crps"},
                                                                    {"diff_residual", "diffusion.null_token_share=0"},
                                                                    {"consistency_distill", "stages.consistency_distill.objective=cd"},
                                                                    {"consistency_distill", "stages.consistency_distill.objective=direct"}}));
  CAPTURE(key, set);
  const Trained t = train_on({test::device_under_test(), key, {set}});
  INFO(t.trace);
  CHECK(t.after.syncs == t.before.syncs);
  CHECK(t.after.to_host == t.before.to_host);
  CHECK(t.after.to_device == t.before.to_device);
}

TEST_CASE("reading the numbers of every update is seen as copies to the host") {
  const Trained t = train_on({test::fake_device(), "operator", {}, 1});
  CHECK(t.after.to_host - t.before.to_host == 4);
}
