// Edge cases (optim.md 10, Q4 and Q5): masks in bits, undefined gradients, odd shapes and layouts, tiny and huge gradients.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#define UPS_TEST_WITH_TORCH
#include "golden_file.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/grad_scaler.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/orth_host.h"

using namespace ups;
using namespace ups::optim;
using namespace ups::test;

namespace {

at::Tensor randn(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kFloat) {
  auto g = at::detail::createCPUGenerator(seed);
  return at::randn(shape, g, at::TensorOptions().dtype(type));
}

std::vector<OptimizerOptions> families() {
  std::vector<OptimizerOptions> out(10);
  const char* kNames[] = {"adam", "adamw", "sgd", "sgd", "muon_hybrid", "muon_hybrid", "muon_hybrid", "adamw", "muon_hybrid", "muon_hybrid"};
  for (size_t i = 0; i < out.size(); ++i) {
    out[i].name = kNames[i];
    out[i].weight_decay = 0.1;
    out[i].lr = 0.01;
  }
  out[3].dampening = 0.3;
  out[5].muon_backend = "batched";
  out[6].muon_dtype = "bf16";
  out[7].amsgrad = true;
  for (const size_t i : {size_t{8}, size_t{9}}) out[i].normuon = out[i].cautious_decay = true;
  out[9].muon_backend = "batched";
  return out;
}

ParamList model(uint64_t seed) {
  ParamList p;
  const auto add = [&](const std::string& name, at::Tensor t) { p.push_back({name, t.set_requires_grad(true), Role::hidden}); };
  add("w", randn({6, 10}, seed));
  add("tall", randn({12, 5}, seed + 1));
  add("conv", randn({4, 3, 3, 3}, seed + 2).contiguous(at::MemoryFormat::ChannelsLast));
  add("transposed", randn({7, 9}, seed + 3).t());
  add("bias", randn({11}, seed + 4));
  p[0].tensor.detach().view({-1})[3].fill_(-0.0);
  p[4].tensor.detach()[2].fill_(-0.0);
  return p;
}

void gradients(ParamList& p, uint64_t seed) {
  for (size_t i = 0; i < p.size(); ++i) p[i].tensor.mutable_grad() = randn(p[i].tensor.sizes(), seed + 100 * i);
}

std::vector<at::Tensor> snapshot(const ParamList& p, const Optimizer& o) {
  std::vector<at::Tensor> out;
  for (const auto& x : p) out.push_back(x.tensor.detach().clone());
  for (const auto& [key, t] : o.state()) out.push_back(t.clone());
  return out;
}

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!same_bits(a[i], b[i])) return false;
  return a.size() == b.size();
}

NsSchedule polar() { return ns_schedule("polar_express", 5); }

}  // namespace

TEST_CASE("a masked step leaves every bit, and the next step is as if it had not been") {
  for (const auto& options : families()) {
    INFO(options.name << " " << options.muon_backend << " " << options.muon_dtype);
    ParamList p = model(1), q = model(1);
    auto a = make_optimizer(options, p), b = make_optimizer(options, q);
    const at::Tensor go = at::zeros({}), skip = at::ones({});
    for (uint64_t step = 0; step < 4; ++step) {
      gradients(p, step);
      gradients(q, step);
      a->step(go);
      b->step({});
      const auto before = snapshot(p, *a);
      gradients(p, 50 + step);
      p[0].tensor.mutable_grad().view({-1})[0].fill_(std::numeric_limits<float>::infinity());
      p[4].tensor.mutable_grad().fill_(std::numeric_limits<float>::quiet_NaN());
      a->step(skip);
      CHECK(equal(before, snapshot(p, *a)));
    }
    CHECK(equal(snapshot(p, *a), snapshot(q, *b)));
  }
}

TEST_CASE("scaler, norm, step and average with a NaN gradient: only the scale moves") {
  ParamList p = model(2);
  OptimizerOptions options = families()[4];
  auto o = make_optimizer(options, p);
  std::vector<std::pair<std::string, at::Tensor>> values;
  for (const auto& x : p) values.emplace_back(x.name, x.tensor);
  Ema ema({}, values);
  GradScaler scaler;
  const auto step = [&](bool bad) {
    scaler.scale(at::ones({}));
    gradients(p, 7);
    for (auto& x : p) x.tensor.mutable_grad().mul_(65536);
    if (bad) p[3].tensor.mutable_grad()[0][0].fill_(std::numeric_limits<float>::quiet_NaN());
    const auto pass = scaler.unscale("o", p);
    CHECK(std::isnan(pass.norm.item<double>()) == bad);
    clip_(p, pass.norm, 1.0);
    const at::Tensor found = scaler.step("o");
    o->step(found);
    ema.update(found);
    scaler.update();
  };
  step(false);
  auto before = snapshot(p, *o);
  for (const auto& [k, t] : ema.state()) before.push_back(t.clone());
  step(true);
  auto after = snapshot(p, *o);
  for (const auto& [k, t] : ema.state()) after.push_back(t.clone());
  CHECK(equal(before, after));
  CHECK(scaler.state().scale == 32768);
  CHECK(ema.count().item<double>() == 1);
}

TEST_CASE("an undefined gradient leaves the parameter and its state alone") {
  for (const auto& options : families()) {
    INFO(options.name);
    ParamList p = model(3);
    auto o = make_optimizer(options, p);
    gradients(p, 1);
    o->step();
    const at::Tensor w = p[0].tensor.detach().clone(), bias = p[4].tensor.detach().clone(), tall = p[1].tensor.detach().clone();
    gradients(p, 2);
    p[0].tensor.mutable_grad().reset();
    p[4].tensor.mutable_grad().reset();
    std::vector<at::Tensor> states;
    for (const auto& [key, t] : o->state())
      if (key.rfind("w/", 0) == 0 || key.rfind("bias/", 0) == 0) states.push_back(t.clone());
    o->step();
    CHECK(same_bits(p[0].tensor, w));
    CHECK(same_bits(p[4].tensor, bias));
    CHECK(!same_bits(p[1].tensor, tall));
    size_t i = 0;
    for (const auto& [key, t] : o->state())
      if (key.rfind("w/", 0) == 0 || key.rfind("bias/", 0) == 0) CHECK(same_bits(t, states[i++]));
    o->zero_grad();
    for (const auto& x : p) CHECK(!x.tensor.grad().defined());
  }
}

TEST_CASE("memory layout changes nothing") {
  for (const auto& options : families()) {
    INFO(options.name);
    ParamList p = model(4), q;
    for (const auto& x : p) q.push_back({x.name, x.tensor.detach().contiguous().clone().set_requires_grad(true), x.role});
    auto a = make_optimizer(options, p), b = make_optimizer(options, q);
    for (uint64_t s = 0; s < 3; ++s) {
      gradients(p, s);
      gradients(q, s);
      if (s == 1) p[2].tensor.mutable_grad() = p[2].tensor.grad().contiguous(at::MemoryFormat::ChannelsLast);
      a->step();
      b->step();
    }
    for (size_t i = 0; i < p.size(); ++i) CHECK(same_bits(p[i].tensor.detach().contiguous(), q[i].tensor));
  }
}

TEST_CASE("the norm of the gradient does not matter to the direction") {
  const at::Tensor u = randn({24, 40}, 5);
  const at::Tensor expected = host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::automatic);
  for (const double scale : {1e-30, 1e-20, 1e-6, 1e6, 1e20, 1e30}) {
    const at::Tensor x = (u.to(at::kDouble) * scale).to(at::kFloat);
    CHECK(max_abs_diff(host::orthogonalize(x, polar(), EpsMode::scale_free, OrthVariant::automatic), expected) <= 1e-6);
    CHECK(max_abs_diff(orthogonalize(x, polar(), EpsMode::scale_free, at::kFloat), expected) <= 2e-6);
  }
}

TEST_CASE("zero, empty, one-sided and rank-deficient matrices") {
  const auto run = [](const at::Tensor& u) { return host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::automatic); };
  CHECK(run(at::zeros({5, 9})).abs().max().item<double>() == 0);
  CHECK(orthogonalize(at::zeros({2, 5, 9}), polar(), EpsMode::scale_free, at::kFloat).abs().max().item<double>() == 0);
  CHECK(run(at::zeros({0, 9})).numel() == 0);
  for (const at::Tensor& u : {randn({1, 30}, 6), randn({30, 1}, 7)})  // one singular value: the map at 1/1.02
    CHECK(max_abs_diff(run(u) / run(u).norm(), u / u.norm()) <= 1e-5);
  const at::Tensor low = at::matmul(randn({20, 3}, 8), randn({3, 25}, 9));
  CHECK(at::isfinite(run(low)).all().item<bool>());
  const at::Tensor projected = at::matmul(polar_svd(low), run(low).t());  // inside the row space
  CHECK(projected.diagonal().sum().item<double>() > 2.4);
  const at::Tensor gamma = at::ones({8, 1, 1}).set_requires_grad(true);
  gamma.mutable_grad() = randn({8, 1, 1}, 1);
  const at::Tensor none = at::ones({0, 4}).set_requires_grad(true);
  none.mutable_grad() = at::ones({0, 4});
  for (auto options : families()) {
    options.include_all = true;
    make_optimizer(options, {{"gamma", gamma, Role::hidden}, {"none", none, Role::hidden}})->step();
    CHECK(at::isfinite(gamma).all().item<bool>());
  }
}

TEST_CASE("variants agree with the plain products") {
  for (const auto& [m, n] : {std::pair<int64_t, int64_t>{50, 50}, {96, 192}, {192, 96}, {64, 577}, {300, 130}, {131, 257}}) {
    INFO(m << " x " << n);
    const at::Tensor u = randn({m, n}, 11);
    const at::Tensor plain = host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::standard);
    CHECK(max_abs_diff(host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::symmetric), plain) <= 6e-6);
    CHECK(max_abs_diff(orthogonalize(u, polar(), EpsMode::scale_free, at::kFloat), plain) <= 6e-6);
    if (m != n) CHECK(max_abs_diff(host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::gram), plain) <= 1e-5);
    for (const char* name : {"kj", "cubic5"})
      for (const int64_t k : {1, 2, 3, 6}) {
        const auto s = ns_schedule(name, k);
        const at::Tensor u64 = u.to(at::kDouble);
        const at::Tensor exact = host::orthogonalize(u64, s, EpsMode::scale_free, OrthVariant::standard);
        CHECK(max_abs_diff(host::orthogonalize(u64, s, EpsMode::scale_free, OrthVariant::gram), exact) <= 1e-10);
      }
  }
}

TEST_CASE("the iteration really ran: singular values of the first update near 1, direction of the polar factor") {
  const at::Tensor u = randn({48, 96}, 12);
  const at::Tensor o = host::orthogonalize(u, polar(), EpsMode::scale_free, OrthVariant::automatic);
  const at::Tensor sigma = at::linalg_svdvals(o.to(at::kDouble));
  CHECK(sigma.min().item<double>() > 0.84);
  CHECK(sigma.max().item<double>() < 1.15);
  const at::Tensor exact = polar_svd(u);
  CHECK((o * exact).sum().item<double>() / (o.norm() * exact.norm()).item<double>() > 0.97);
}

TEST_CASE("update RMS is muon_scale * lr, AdamW's is lr at the first step") {
  for (const auto& shape : {std::vector<int64_t>{96, 192}, {192, 96}, {64, 64, 3, 3}}) {
    OptimizerOptions o;
    o.name = "muon_hybrid";
    o.lr = 1e-2;
    const at::Tensor w = at::zeros(shape).set_requires_grad(true);
    w.mutable_grad() = randn(shape, 13);
    make_optimizer(o, {{"w", w, Role::hidden}})->step();
    CHECK(w.detach().square().mean().sqrt().item<double>() == Approx(0.2 * 1e-2).epsilon(0.03));
  }
}

TEST_CASE("a stack is orthogonalized matrix by matrix, complex ones as [A, 2B]") {
  const at::Tensor grad = randn({5, 8, 16}, 14);
  const at::Tensor w = at::zeros({5, 8, 16}).set_requires_grad(true), c = at::zeros({5, 8, 8}, at::kComplexFloat).set_requires_grad(true);
  w.mutable_grad() = grad.clone();
  c.mutable_grad() = at::view_as_complex(grad.view({5, 8, 8, 2})).clone();
  OptimizerOptions o;
  o.name = "muon";
  o.lr = 1;
  o.muon_scale_mode = "none";
  o.muon_split["c"].modes = true;
  for (const char* backend : {"auto", "batched", "loop"}) {
    w.detach().zero_();
    c.detach().zero_();
    o.muon_backend = backend;
    auto optimizer = make_optimizer(o, {{"w", w, Role::stack}, {"c", c, Role::hidden}});
    CHECK(optimizer->state().size() == 2);
    optimizer->step();
    for (int64_t k = 0; k < 5; ++k) {
      const at::Tensor expected = -orthogonalize(grad[k], polar(), EpsMode::scale_free, at::kFloat);
      CHECK(max_abs_diff(w.detach()[k], expected) <= 5e-6);
      CHECK(max_abs_diff(at::view_as_real(c.detach()[k]).reshape({8, 16}), expected) <= 5e-6);
    }
  }
}

TEST_CASE("equal bits for any thread count and parameter order") {
  const auto run = [](int threads, bool reversed) {
    at::set_num_threads(threads);
    ParamList p;
    for (int i = 0; i < 6; ++i) {
      const at::Tensor w = at::ones({80 + 16 * i, 128}).set_requires_grad(true);
      w.mutable_grad() = randn(w.sizes(), static_cast<uint64_t>(i));
      p.push_back({"p" + std::to_string(i), w, Role::hidden});
    }
    ParamList order = p;
    if (reversed) std::reverse(order.begin(), order.end());
    OptimizerOptions o;
    o.name = "muon";
    make_optimizer(o, order)->step();
    std::vector<at::Tensor> out;
    for (const auto& x : p) out.push_back(x.tensor.detach().clone());
    at::set_num_threads(1);
    return out;
  };
  const auto one = run(1, false);
  CHECK(equal(one, run(2, false)));
  CHECK(equal(one, run(2, true)));
  CHECK(equal(one, run(3, true)));
}

TEST_CASE("state: resume in bits, differences are listed") {
  for (const auto& options : families()) {
    INFO(options.name);
    ParamList p = model(20), q = model(20);
    auto a = make_optimizer(options, p), b = make_optimizer(options, q);
    gradients(p, 1);
    a->step();
    NamedTensors saved;
    for (const auto& [key, t] : a->state()) saved.emplace_back(key, t.clone());
    std::reverse(saved.begin(), saved.end());  // position means nothing
    b->load_state(saved, "test");
    for (size_t i = 0; i < p.size(); ++i) q[i].tensor.detach().copy_(p[i].tensor.detach());
    gradients(p, 2);
    gradients(q, 2);
    a->step();
    b->step();
    CHECK(equal(snapshot(p, *a), snapshot(q, *b)));
    if (saved.empty()) continue;
    saved[0].second = at::zeros({77});
    saved[1].first = "strange";
    try {
      b->load_state(saved, "ckpt/optim");
      FAIL("accepted");
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::checkpoint);
      CHECK(e.message().find("[77]") != std::string::npos);
      CHECK(e.message().find("strange") != std::string::npos);
      CHECK(e.message().find("3 places") != std::string::npos);
    }
  }
}

TEST_CASE("rates per group") {
  ParamList p = model(30);
  OptimizerOptions o;
  o.name = "muon_hybrid";
  o.muon_lr = 0.02;
  o.adamw_lr = 0.003;
  auto optimizer = make_optimizer(o, p);
  const auto groups = optimizer->groups();
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].name == "muon");
  CHECK(groups[0].base_lr == 0.02);
  CHECK(groups[1].base_lr == 0.003);
  CHECK(groups[0].params.size() == 4);
  optimizer->set_lrs(std::vector<double>{0, 0});
  const auto before = snapshot(p, *optimizer);
  gradients(p, 1);
  optimizer->step();
  for (size_t i = 0; i < p.size(); ++i) CHECK(max_abs_diff(p[i].tensor, before[i]) == 0);
}

TEST_CASE("averages swap in and out in bits") {
  ParamList p = model(40);
  std::vector<std::pair<std::string, at::Tensor>> values, buffers{{"count", at::full({}, 3, at::kLong)}};
  for (const auto& x : p) values.emplace_back(x.name, x.tensor);
  Ema ema({0.9, false}, values, buffers);
  for (auto& x : p) x.tensor.detach().add_(1);
  buffers[0].second.fill_(5);
  ema.update();
  const at::Tensor w = p[0].tensor.detach().clone(), average = ema.state()[0].second.clone();
  {
    EmaScope scope(&ema);
    CHECK(same_bits(p[0].tensor, average));
    CHECK(same_bits(ema.state()[0].second, average));
  }
  CHECK(same_bits(p[0].tensor, w));
  CHECK(ema.state().back().second.item<int64_t>() == 5);
}

TEST_CASE("ema clipping: spikes are cut, masked steps are ignored") {
  const at::Tensor w = at::zeros({4}).set_requires_grad(true);
  const ParamList p{{"w", w, Role::hidden}};
  EmaClip clip;
  const auto norm_after = [&](double norm, bool bad = false) {
    w.mutable_grad() = at::full({4}, bad ? std::numeric_limits<double>::infinity() : norm / 2);
    clip.clip(p, unscale_and_norm(p));
    return w.grad().norm().item<double>();
  };
  for (int i = 0; i < 20; ++i) CHECK(norm_after(1.0) == Approx(1.0));
  CHECK(norm_after(1.9) == Approx(1.9));
  const at::Tensor kept = clip.state().clone();
  norm_after(1, true);
  CHECK(same_bits(clip.state(), kept));
  CHECK(norm_after(50) == Approx(1.1 * kept[0].item<double>()).epsilon(1e-5));
  CHECK(clip.state()[1].item<double>() < 1.1);
}

TEST_CASE("scale: floor, growth, two optimizers") {
  GradScalerOptions options;
  options.init_scale = 4;
  options.growth_interval = 2;
  GradScaler s(options);
  const at::Tensor a = at::ones({2}).set_requires_grad(true), b = at::ones({2}).set_requires_grad(true);
  const auto step = [&](bool bad) {
    s.scale(at::ones({}));
    a.mutable_grad() = at::ones({2});
    b.mutable_grad() = bad ? at::full({2}, std::numeric_limits<float>::infinity()) : at::ones({2});
    s.unscale("a", {{"a", a, Role::hidden}});
    s.unscale("b", {{"b", b, Role::hidden}});
    CHECK(s.found_inf().item<double>() == (bad ? 1 : 0));
    s.update();
    return s.state().scale;
  };
  CHECK(step(true) == 2);
  CHECK(step(true) == 1);
  CHECK(step(true) == 1);  // min_scale
  CHECK(step(false) == 1);
  CHECK(step(false) == 2);
  CHECK(step(true) == 1);
}
