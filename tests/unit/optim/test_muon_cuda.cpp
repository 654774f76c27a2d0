// Muon on a CUDA device against Muon on the CPU; says so and does nothing where there is no device.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "ups/optim/muon.h"

using namespace ups::optim;

TEST_CASE("Muon on a CUDA device matches the CPU, masked steps change nothing") {
  if (!at::hasCUDA()) {
    WARN("no CUDA device: not run");
    return;
  }
  const std::vector<std::vector<int64_t>> shapes{{96, 96}, {192, 96}, {96, 192}, {12, 12}, {64, 1}, {1, 64}, {300, 40}, {512, 384}, {16, 3, 3, 3}};
  MuonOptions options;
  options.schedule = ns_schedule("polar_express", 5);
  options.weight_decay = 0.1;
  options.compute = at::kFloat;
  std::vector<at::Tensor> on_host, on_device;
  std::vector<MuonParam> host_params, device_params;
  for (size_t i = 0; i < shapes.size(); ++i) {
    at::manual_seed(i);
    on_host.push_back(at::randn(shapes[i]));
    on_device.push_back(on_host[i].to(at::kCUDA));
    const std::string name = "w" + std::to_string(i);
    host_params.push_back({{name, on_host[i].set_requires_grad(true)}, std::nullopt});
    device_params.push_back({{name, on_device[i].set_requires_grad(true)}, std::nullopt});
  }
  Muon host(options, host_params), device(options, device_params);
  const at::Tensor clear = at::zeros({}, at::TensorOptions().device(at::kCUDA)), found = at::ones_like(clear);
  for (uint64_t step = 0; step < 5; ++step) {
    for (size_t i = 0; i < shapes.size(); ++i) {
      at::manual_seed(100 * step + i);
      on_host[i].mutable_grad() = at::randn(shapes[i]);
      on_device[i].mutable_grad() = on_host[i].grad().to(at::kCUDA);
    }
    host.step({});
    device.step(clear);
  }
  for (size_t i = 0; i < shapes.size(); ++i) {
    CAPTURE(i);
    CHECK((on_host[i].detach() - on_device[i].detach().cpu()).abs().max().item<double>() < 2e-4);
  }
  std::vector<at::Tensor> before;
  for (auto& w : on_device) before.push_back(w.detach().clone());
  for (auto& w : on_device) w.mutable_grad().fill_(NAN);
  device.step(found);
  for (size_t i = 0; i < shapes.size(); ++i) CHECK(at::equal(before[i], on_device[i].detach()));
}
