#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/autocast.h"
#include "ups/models/field_operator.h"
#include "ups/models/fused_ops.h"
#include "ups/models/gelu.h"
#include "ups/models/patch_unet.h"
#include "ups/models/path_probe.h"
#include "ups/models/pde_transformer.h"

using namespace ups::models;
using at::Tensor;
using Mixing = PdeTransformerConfig::Mixing;

namespace {

struct PlainPath {
  PlainPath() { fused::set_enabled(false); }
  ~PlainPath() { fused::set_enabled(true); }
};

PdeTransformerConfig config_1d() {
  PdeTransformerConfig c;
  c.grid = {32};
  c.periodic = {true};
  c.patch = 1;
  c.hidden = 8;
  c.heads = 2;
  c.modes = 6;
  c.depths = {2, 1};
  c.parameters = 1;
  c.boundary_kinds = 7;
  return c;
}

// Every parameter away from its special initial value, so that no path is switched off.
void perturb(Module& m) {
  const at::NoGradGuard no_grad;
  uint64_t key = 1;
  for (auto& p : m.parameters()) p.tensor.add_(0.2 * noise_like(p.tensor, key++));
}

Condition condition(int64_t batch) {
  Condition c;
  c.dt = at::full({batch}, 0.05);
  c.params = at::linspace(-1, 1, batch).view({batch, 1});
  c.boundary = at::zeros({batch, 7});
  c.boundary.select(1, 0).fill_(1.0);
  return c;
}

double relative(const Tensor& a, const Tensor& b) { return ((a - b).abs().max() / b.abs().max().clamp_min(1e-6)).item<double>(); }

// Output and all gradients of a model with a fixed random projection as loss.
std::vector<Tensor> run(FieldModel& m, const Tensor& x, const Condition& c) {
  const Tensor in = x.clone().set_requires_grad(true);
  const Tensor y = m.forward(in, c);
  (y * noise_like(y, 99)).sum().backward();
  std::vector<Tensor> out{y.detach(), in.grad().clone()};
  for (auto& p : m.parameters()) {
    out.push_back(p.tensor.grad().defined() ? p.tensor.grad().clone() : at::zeros_like(p.tensor));
    p.tensor.mutable_grad() = Tensor();
  }
  return out;
}

}  // namespace

TEST_CASE("an untrained network is persistence, whatever the configuration") {
  for (auto mixing : {Mixing::none, Mixing::conv3, Mixing::spectral}) {
    for (bool periodic : {true, false}) {
      for (int axes : {1, 2}) {
        auto c = config_1d();
        c.local_mixing = mixing;
        c.normalise = mixing == Mixing::none;
        c.grid = axes == 1 ? std::vector<int64_t>{37} : std::vector<int64_t>{18, 13};  // divides nothing: padded and cropped
        c.periodic.assign(static_cast<size_t>(axes), periodic);
        c.patch = 2;
        c.transport = c.linear_path = mixing != Mixing::none;
        c.in_channels = c.out_channels = 2;
        FieldOperator op(std::make_unique<PdeTransformer>(c), {0.1, 0.3}, static_cast<size_t>(axes));
        std::vector<int64_t> shape{3, 2};
        shape.insert(shape.end(), c.grid.begin(), c.grid.end());
        const Tensor z = noise_like(at::empty(shape), 5);
        CHECK(at::equal(op.step(z, condition(3)), z));
      }
    }
  }
}

TEST_CASE("a conserved channel keeps its spatial mean, the others do not") {
  for (bool predict_state : {false, true}) {
    auto c = config_1d();
    c.in_channels = c.out_channels = 2;
    auto net = std::make_unique<PdeTransformer>(c);
    perturb(*net);
    FieldOperator op(std::move(net), {0.1, 0.3}, 1, predict_state, {1});
    const Tensor z = noise_like(at::empty({3, 2, 32}), 5);
    const at::NoGradGuard no_grad;
    const Tensor moved = (op.step(z, condition(3)) - z).mean(2).abs();
    CHECK(moved.select(1, 1).max().item<float>() < 1e-6f);
    CHECK(moved.select(1, 0).min().item<float>() > 1e-3f);
  }
}

TEST_CASE("fused kernels equal the plain ATen path, forward and backward") {
  for (auto mixing : {Mixing::none, Mixing::conv3, Mixing::spectral}) {
    for (bool periodic : {true, false}) {
      for (bool normalise : {true, false}) {
        for (int axes : {1, 2}) {
          auto c = config_1d();
          c.local_mixing = mixing;
          c.normalise = normalise;
          if (axes == 2) c.grid = {16, 8};
          c.periodic.assign(static_cast<size_t>(axes), periodic);
          c.attention_everywhere = true;
          c.linear_path = true;
          PdeTransformer m(c);
          perturb(m);
          std::vector<int64_t> shape{3, 1};
          shape.insert(shape.end(), c.grid.begin(), c.grid.end());
          const Tensor x = noise_like(at::empty(shape), 7);
          const auto fast = run(m, x, condition(3));
          const PlainPath plain;
          const auto slow = run(m, x, condition(3));
          const auto parameters = m.parameters();
          double largest = 0;
          for (const auto& g : slow) largest = std::max(largest, g.abs().max().item<double>());
          CHECK(relative(fast[0], slow[0]) < 2e-5);
          for (size_t i = 1; i < fast.size(); ++i) {
            INFO((i == 1 ? std::string("input") : parameters[i - 2].name) << " mixing " << static_cast<int>(mixing) << " periodic " << periodic
                 << " axes " << axes << " norm " << normalise);
            CHECK((fast[i] - slow[i]).abs().max().item<double>() < 2e-5 * largest + 2e-4 * slow[i].abs().max().item<double>());
          }
        }
      }
    }
  }
}

TEST_CASE("without a condition a layer is one fused node: it equals the sum of its branches") {
  for (auto mixing : {Mixing::conv3, Mixing::spectral}) {
    for (bool periodic : {true, false}) {
      for (bool transport : {true, false}) {
        auto c = config_1d();
        c.local_mixing = mixing;
        c.periodic = {periodic};
        c.transport = transport;
        c.mlp_ratio = 0;
        c.condition_dt = false;
        c.parameters = c.boundary_kinds = 0;
        PdeTransformer m(c);
        // Gradients jump where a displacement crosses a token: rounding must not decide between the two sides.
        const at::NoGradGuard no_grad;
        for (auto& p : m.parameters()) p.tensor.add_((p.name.find("displacement") != std::string::npos ? 0.01 : 0.1) * noise_like(p.tensor, 31));
        const at::AutoGradMode with_grad(true);
        const Tensor x = noise_like(at::empty({3, 1, 32}), 7);
        const auto fast = run(m, x, {});
        const PlainPath plain;
        const auto slow = run(m, x, {});
        for (size_t i = 0; i < fast.size(); ++i) {
          INFO((i == 0 ? std::string("output") : i == 1 ? std::string("input") : m.parameters()[i - 2].name) << " mixing " << static_cast<int>(mixing)
               << " periodic " << periodic << " transport " << transport);
          CHECK((fast[i] - slow[i]).abs().max().item<double>() < 1e-4 * slow[i].abs().max().item<double>() + 1e-7);
        }
      }
    }
  }
}

TEST_CASE("a probe measures the paths of a network and leaves some out") {
  auto c = config_1d();
  c.transport = c.linear_path = true;
  PdeTransformer m(c);
  perturb(m);
  const at::NoGradGuard no_grad;
  const Tensor x = noise_like(at::empty({2, 1, 32}), 3), base = m.forward(x, condition(2));
  const auto probe_without = [&](std::set<std::string> left_out) {
    PathProbe probe;
    probe.left_out = std::move(left_out);
    const PathProbe::Scope scope(probe);
    const Tensor y = m.forward(x, condition(2));
    return std::pair(y, probe.size);
  };
  const auto [whole, size] = probe_without({});
  CHECK(relative(whole, base) < 1e-4);
  std::set<std::string> names;
  for (const auto& [name, s] : size) {
    names.insert(name);
    CHECK(s > 0);
    CHECK(relative(probe_without({name}).first, base) > 1e-3);
  }
  CHECK(names == std::set<std::string>{"attention", "conv", "linear_path", "mlp", "spectral", "transport"});
  // Without the linear path only its share is missing: it adds to the output.
  const auto linear = probe_without({"linear_path"}).first;
  CHECK((whole - linear).norm().item<double>() == Approx(size.at("linear_path")).epsilon(1e-4));
}

TEST_CASE("fp32 agrees with float64, and the gradient with finite differences") {
  auto c = config_1d();
  c.attention_everywhere = true;
  PdeTransformer m(c);
  perturb(m);
  const Tensor x = noise_like(at::empty({2, 1, 32}), 3);
  const auto single = run(m, x, condition(2));
  m.to(at::kDouble);
  const Tensor xd = x.to(at::kDouble);
  const auto twin = run(m, xd, condition(2));
  CHECK(relative(single[0].to(at::kDouble), twin[0]) < 1e-4);
  const Tensor direction = noise_like(xd, 4);
  const double h = 1e-5;
  const at::NoGradGuard no_grad;
  const auto value = [&](const Tensor& in) {
    const Tensor y = m.forward(in, condition(2));
    return (y * noise_like(y, 99)).sum().item<double>();
  };
  const double numeric = (value(xd + h * direction) - value(xd - h * direction)) / (2 * h);
  CHECK(numeric == Approx((twin[1] * direction).sum().item<double>()).epsilon(1e-5));
}

TEST_CASE("on a periodic domain a shift of the input shifts the output") {
  auto c = config_1d();
  c.attention_everywhere = true;
  PdeTransformer m(c);
  perturb(m);
  const at::NoGradGuard no_grad;
  const Tensor x = noise_like(at::empty({2, 1, 32}), 3);
  const int64_t shift = 16;  // whole windows at both levels
  const Tensor a = at::roll(m.forward(x, condition(2)), {shift}, {2}), b = m.forward(at::roll(x, {shift}, {2}), condition(2));
  CHECK(relative(a, b) < 1e-4);
  auto open = c;
  open.periodic = {false};
  PdeTransformer walls(open);
  perturb(walls);
  const Tensor d = at::roll(walls.forward(x, condition(2)), {shift}, {2}), e = walls.forward(at::roll(x, {shift}, {2}), condition(2));
  CHECK(relative(d, e) > 1e-2);
}

TEST_CASE("what conditions the network changes its output; what was not asked for does not") {
  auto c = config_1d();
  PdeTransformer m(c);
  perturb(m);
  const at::NoGradGuard no_grad;
  const Tensor x = noise_like(at::empty({2, 1, 32}), 3);
  const Tensor base = m.forward(x, condition(2));
  auto other = condition(2);
  other.dt = other.dt * 2;
  CHECK(relative(m.forward(x, other), base) > 1e-4);
  other = condition(2);
  other.params = other.params + 1;
  CHECK(relative(m.forward(x, other), base) > 1e-4);
  other = condition(2);
  other.boundary = at::roll(other.boundary, {1}, {1});
  CHECK(relative(m.forward(x, other), base) > 1e-4);
  other = condition(2);
  other.tau = at::ones({2});
  CHECK(at::equal(m.forward(x, other), base));
}

TEST_CASE("separate channels share weights and exchange information") {
  auto c = config_1d();
  c.in_channels = 4;
  c.out_channels = 2;
  c.separate_channels = true;
  PdeTransformer m(c);
  perturb(m);
  const at::NoGradGuard no_grad;
  const Tensor x = noise_like(at::empty({2, 4, 32}), 3);
  const Tensor y = m.forward(x, condition(2));
  CHECK(y.sizes() == at::IntArrayRef{2, 2, 32});
  Tensor changed = x.clone();
  changed.select(1, 1).add_(1.0);  // second channel, first input field
  CHECK(relative(m.forward(changed, condition(2)).select(1, 0), y.select(1, 0)) > 1e-5);
}

TEST_CASE("bf16 and fp16 autocast keep the output in fp32 and close") {
  auto c = config_1d();
  c.attention_everywhere = true;
  c.normalise = true;
  PdeTransformer m(c);
  perturb(m);
  const Tensor x = noise_like(at::empty({2, 1, 32}), 3);
  const Tensor exact = m.forward(x, condition(2));
  for (auto type : {at::kBFloat16, at::kHalf}) {
    Tensor y;
    {
      const AutocastGuard autocast(at::kCPU, true, type);
      y = m.forward(x, condition(2));
    }
    CHECK(y.scalar_type() == at::kFloat);
    CHECK(relative(y, exact) < 0.1);
    CHECK(relative(y, exact) > 1e-6);  // it did run in low precision
    y.sum().backward();
  }
}

TEST_CASE("the reference core on patches starts as persistence and pads grids") {
  PatchUnetConfig c;
  c.grid = {10, 6};
  c.patch = 4;
  c.core.latent_dim = 8;
  c.core.hidden_dim = 16;
  c.core.group_size = 8;
  c.core.num_heads = 2;
  PatchUnet m(c);
  const Tensor x = noise_like(at::empty({2, 1, 10, 6}), 3);
  CHECK(m.forward(x, condition(2)).abs().max().item<float>() == 0.0f);
  perturb(m);
  CHECK(m.forward(x, condition(2)).sizes() == x.sizes());
}

TEST_CASE("fused GELU equals the exact one") {
  const Tensor x = at::cat({at::linspace(-12, 12, 4801), at::tensor({0.0, -0.0, 1e-30, -1e-30, 30.0, -30.0, 1e20, -1e20}), noise_like(at::empty({999}), 3)})
                       .to(at::kFloat).set_requires_grad(true);
  const Tensor y = fused::gelu(x);
  y.sum().backward();
  const Tensor xd = x.detach().to(at::kDouble), phi = (1 + at::erf(xd / std::sqrt(2.0))) / 2;
  const Tensor slope = phi + xd * at::exp(-xd * xd / 2) / std::sqrt(2 * M_PI);
  const Tensor room = xd.abs().clamp_min(1) * 3e-7;
  CHECK(((y.detach().to(at::kDouble) - xd * phi).abs() <= room).all().item<bool>());
  const Tensor off = (x.grad().to(at::kDouble) - slope).abs() / room;
  INFO("worst at " << xd[off.argmax()].item<double>() << ": " << off.max().item<double>());
  CHECK(off.max().item<double>() <= 1);
  const Tensor bad = fused::gelu(at::tensor({NAN, INFINITY}));
  CHECK(std::isnan(bad[0].item<float>()));
  CHECK(bad[1].item<float>() == INFINITY);
}
