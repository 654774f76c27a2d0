#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "golden_file.h"
#include "ups/models/autocast.h"
#include "ups/models/field_operator.h"
#include "ups/models/fno.h"
#include "ups/models/fused_ops.h"
#include "ups/models/unet.h"

using namespace ups;
using namespace ups::models;

namespace {

FnoConfig fno(std::vector<int64_t> grid, int64_t inputs, int64_t width, int64_t modes, bool pdebench) {
  FnoConfig c;
  c.in_channels = inputs;
  c.grid = std::move(grid);
  c.padding.assign(c.grid.size(), pdebench ? 2 : 0);
  c.grid_channel = pdebench;
  c.width = width;
  c.modes = modes;
  return c;
}

UnetConfig unet(std::vector<int64_t> grid, bool periodic) {
  UnetConfig c;
  c.grid = std::move(grid);
  c.periodic.assign(c.grid.size(), periodic);
  return c;
}

Tensor random_field(int64_t batch, int64_t channels, const std::vector<int64_t>& grid, uint64_t key) {
  std::vector<int64_t> shape{batch, channels};
  shape.insert(shape.end(), grid.begin(), grid.end());
  return noise_like(at::empty(shape), key);
}

}  // namespace

TEST_CASE("FNO parameter counts are those of PDEBench and of the fixed recipe") {
  CHECK(Fno(fno({256}, 10, 20, 12, true)).parameter_count() == 43137);
  CHECK(Fno(fno({256}, 10, 64, 16, true)).parameter_count() == 550145);
  CHECK(Fno(fno({64, 64}, 10, 20, 12, true)).parameter_count() == 926357);
  CHECK(Fno(fno({256}, 1, 24, 48, false)).parameter_count() == 226961);
  CHECK(Fno(fno({64}, 1, 24, 16, false)).parameter_count() == 79505);
  CHECK(Fno(fno({64, 64}, 1, 20, 12, true)).parameter_count() == 926177);  // Darcy: coefficient and two coordinates
}

TEST_CASE("FNO equals a Python FNO with copied weights, forward and gradients") {
  struct Case {
    const char* name;
    FnoConfig config;
  };
  std::vector<Case> cases{{"fno_1d", fno({24}, 1, 4, 5, false)},
                          {"fno_1d_pdebench", fno({21}, 3, 4, 4, true)},
                          {"fno_2d", fno({8, 10}, 2, 3, 2, false)},
                          {"fno_2d_pdebench", fno({7, 6}, 1, 3, 3, true)}};
  cases[2].config.out_channels = 2;
  for (bool fused : {true, false}) {
    fused::set_enabled(fused);
    for (auto& [name, config] : cases) {
      INFO(name << (fused ? " fused" : " plain"));
      config.layers = 2;
      config.head = 8;
      const auto golden = test::load_safetensors(test::golden_dir("UPS_MODELS_GOLDEN_DIR", "models") / (std::string(name) + ".safetensors"));
      Fno net(config);
      std::vector<std::pair<std::string, Tensor>> state;
      for (const auto& [key, value] : golden)
        if (key.rfind("state/", 0) == 0) state.emplace_back(key.substr(6), value);
      for (const auto& [key, value] : net.buffers()) state.emplace_back(key, value.clone());
      net.load_state(state, name);
      const Tensor x = golden.at("input").clone().set_requires_grad(true);
      const Tensor y = net.forward(x, {});
      CHECK(test::max_abs_diff(y.detach(), golden.at("output")) < 1e-5);
      (y * golden.at("projection")).sum().backward();
      const auto close = [&](const std::string& key, const Tensor& gradient) {
        INFO(key);
        const Tensor& wanted = golden.at("grad/" + key);
        CHECK(test::max_abs_diff(gradient, wanted) < 1e-5 * (1 + wanted.abs().max().item<double>()));
      };
      close("input", x.grad());
      for (const auto& p : net.parameters()) close(p.name, p.tensor.grad());
    }
  }
  fused::set_enabled(true);
}

TEST_CASE("fused FNO layers equal the plain ones") {
  // The fixed recipe; odd counts everywhere; cells that do not fold into quarters; padding.
  const auto [points, batch, width, modes, pad] = GENERATE(table<int64_t, int64_t, int64_t, int64_t, bool>(
      {{256, 8, 24, 48, false}, {36, 3, 5, 7, false}, {12, 1, 3, 6, false}, {4, 2, 2, 1, false}, {30, 2, 5, 8, false}, {64, 3, 8, 16, true}}));
  INFO(points << " points, width " << width);
  Fno net(fno({points}, 1, width, modes, pad));
  const Tensor x = random_field(batch, 1, {points}, 1);
  {
    const at::NoGradGuard no_grad;  // spectral weights as large as the others
    for (auto& p : net.parameters()) p.tensor.copy_(0.3 * noise_like(p.tensor, 5));
  }
  const auto run = [&](bool fused) {
    fused::set_enabled(fused);
    const Tensor y = net.forward(x, {});
    (y * noise_like(y, 2)).sum().backward();
    std::vector<Tensor> out{y.detach()};
    for (auto& p : net.parameters()) {
      out.push_back(p.tensor.grad().clone());
      p.tensor.mutable_grad() = Tensor();
    }
    return out;
  };
  const auto plain = run(false), fast = run(true);
  for (size_t i = 0; i < plain.size(); ++i) {
    INFO(i);
    CHECK(test::max_abs_diff(fast[i], plain[i]) < 3e-5 * plain[i].abs().max().item<double>());
  }
}

TEST_CASE("an FNO without padding commutes with shifts of a periodic field") {
  Fno net(fno({32}, 1, 8, 6, false));
  const Tensor x = random_field(2, 1, {32}, 4);
  CHECK(test::max_abs_diff(net.forward(x.roll(5, 2), {}).detach(), net.forward(x, {}).roll(5, 2).detach()) < 1e-5);
}

TEST_CASE("the U-Net has the sizes of the built-in opponent") {
  CHECK(Unet(unet({256}, true)).parameter_count() == 110833);
  CHECK(Unet(unet({64, 64}, true)).parameter_count() == 317777);
}

TEST_CASE("the U-Net extends and crops any grid and wraps where periodic") {
  for (bool periodic : {true, false}) {
    for (const std::vector<int64_t>& grid : {std::vector<int64_t>{37}, std::vector<int64_t>{18, 13}}) {
      Unet net(unet(grid, periodic));
      const Tensor x = random_field(2, 1, grid, 3);
      CHECK(net.forward(x, {}).sizes() == x.sizes());
    }
  }
  // Shifts by a whole coarse cell (8 cells at 4 levels) commute with a periodic U-Net, and only with that one.
  const Tensor x = random_field(2, 1, {32}, 4);
  const auto shift_error = [&](bool periodic) {
    Unet net(unet({32}, periodic));
    return test::max_abs_diff(net.forward(x.roll(8, 2), {}).detach(), net.forward(x, {}).roll(8, 2).detach());
  };
  CHECK(shift_error(true) < 1e-5);
  CHECK(shift_error(false) > 1e-3);
}

TEST_CASE("opponents run under autocast and in float64") {
  const Tensor z = random_field(3, 1, {16}, 7);
  for (int which : {0, 1}) {
    std::unique_ptr<FieldModel> net;
    if (which == 0) net = std::make_unique<Fno>(fno({16}, 1, 6, 4, false));
    else net = std::make_unique<Unet>(unet({16}, true));
    const Tensor single = net->forward(z, {}).detach();
    const Tensor y = [&] {
      const AutocastGuard mixed(at::kCPU, true, at::kBFloat16);
      return net->forward(z, {});
    }();
    CHECK(y.scalar_type() == at::kFloat);
    CHECK(test::max_abs_diff(y.detach(), single) < 0.1 * single.abs().max().item<double>());
    CHECK_FALSE(at::equal(y.detach(), single));
    y.sum().backward();
    net->to(at::kDouble);
    CHECK(test::max_abs_diff(net->forward(z.to(at::kDouble), {}).detach(), single) < 1e-5);
  }
}
