// NorMuon and cautious decay against their formulas, on every path.
#include <ATen/ATen.h>

#include <cmath>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/optim/ns_schedule.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/orthogonalize.h"
#include "ups/optim/update_stats.h"

using namespace ups;
using namespace ups::optim;

namespace {

at::Tensor randn(at::IntArrayRef shape, uint64_t seed) {
  auto g = at::detail::createCPUGenerator(seed);
  return at::randn(shape, g, at::TensorOptions().dtype(at::kDouble));
}

double max_abs_diff(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

// W and the buffers of one matrix, as Li et al. (arXiv 2510.05491) and Chen et al. (arXiv 2510.12402) write the rules.
struct Oracle {
  at::Tensor w, m, v;
  void step(const at::Tensor& g, const OptimizerOptions& o, bool normuon, bool cautious) {
    const at::Tensor flat = g.view({g.size(0), -1});
    m = m.defined() ? m : at::zeros_like(flat);
    v = v.defined() ? v : at::zeros({flat.size(0), 1}, flat.options());
    m = m * o.muon_beta + flat * (1 - o.muon_beta);
    const at::Tensor u = flat * (1 - o.muon_beta) + m * o.muon_beta;
    at::Tensor out = orthogonalize(u, ns_schedule(o.muon_schedule, o.muon_ns_iters, {}), EpsMode::scale_free, at::kDouble);
    if (normuon) {
      v = v * o.normuon_beta2 + (out * out).mean(1, true) * (1 - o.normuon_beta2);
      const at::Tensor scaled = out / v.sqrt();
      out = scaled * out.norm() / scaled.norm();
    }
    const double c = 0.2 * std::sqrt(static_cast<double>(std::max(flat.size(0), flat.size(1))));
    at::Tensor decay = w.view_as(flat) * o.weight_decay;
    if (cautious) decay = decay * (w.view_as(flat) * out > 0);
    w = w - o.lr * (decay + c * out).view_as(w);
  }
};

}  // namespace

TEST_CASE("NorMuon and cautious decay follow their formulas") {
  for (const char* backend : {"auto", "batched"})
    for (const auto& shape : std::vector<std::vector<int64_t>>{{6, 10}, {12, 5}, {4, 3, 3, 3}})
      for (const bool normuon : {false, true})
        for (const bool cautious : {false, true}) {
          INFO(backend << " rows " << shape[0] << " normuon " << normuon << " cautious " << cautious);
          OptimizerOptions o;
          o.name = "muon_hybrid";
          o.lr = 0.02;
          o.weight_decay = 0.3;
          o.muon_backend = backend;
          o.normuon = normuon;
          o.cautious_decay = cautious;
          const ParamList p{{"w", randn(shape, 1).set_requires_grad(true), Role::hidden}};
          Oracle oracle{p[0].tensor.detach().clone(), {}, {}};
          auto optimizer = make_optimizer(o, p);
          for (uint64_t k = 0; k < 4; ++k) {
            std::vector<int64_t> per_row(shape.size(), 1);
            per_row[0] = shape[0];
            const at::Tensor g = randn(shape, 10 + k) * at::arange(1, shape[0] + 1, at::kDouble).view(per_row);
            p[0].tensor.mutable_grad() = g;
            optimizer->step();
            oracle.step(g, o, normuon, cautious);
          }
          CHECK(max_abs_diff(p[0].tensor.detach(), oracle.w) <= 1e-12);
          CHECK(optimizer->state().size() == (normuon ? 2U : 1U));
        }
}

TEST_CASE("NorMuon keeps the norm of an update and evens its rows") {
  OptimizerOptions o;
  o.name = "muon_hybrid";
  o.lr = 1;
  at::Tensor steps[2];
  for (const bool normuon : {false, true}) {
    o.normuon = normuon;
    const ParamList p{{"w", at::zeros({8, 40}, at::kDouble).set_requires_grad(true), Role::hidden}};
    auto optimizer = make_optimizer(o, p);
    at::Tensor g = randn({8, 40}, 3);
    g[0] = g[1] + 1e-3 * g[0];  // two rows that nearly coincide stay small after a few steps of the iteration
    p[0].tensor.mutable_grad() = g;
    optimizer->step();
    steps[normuon ? 1 : 0] = p[0].tensor.detach().clone();
  }
  CHECK(steps[1].norm().item<double>() == Approx(steps[0].norm().item<double>()).epsilon(1e-12));
  const auto spread = [](const at::Tensor& x) { return (x.norm(2, 1).max() / x.norm(2, 1).min()).item<double>(); };
  CHECK(spread(steps[0]) > 1.2);
  CHECK(spread(steps[1]) == Approx(1).epsilon(1e-9));
}

TEST_CASE("cautious AdamW decays where the moment pulls towards zero") {
  OptimizerOptions o;
  o.name = "adamw";
  o.lr = 0.01;
  o.weight_decay = 0.5;
  o.cautious_decay = true;
  const at::Tensor start = randn({40}, 1);
  const ParamList dense{{"w", start.clone().set_requires_grad(true), Role::hidden}};
  at::Tensor w = start.clone(), m = at::zeros({40}, at::kDouble), v = m.clone();
  auto a = make_optimizer(o, dense);
  for (int k = 1; k <= 4; ++k) {
    const at::Tensor g = randn({40}, static_cast<uint64_t>(k) + 5);
    dense[0].tensor.mutable_grad() = g;
    a->step();
    m = 0.9 * m + 0.1 * g;
    v = 0.999 * v + 0.001 * g * g;
    const at::Tensor update = (m / (1 - std::pow(0.9, k))) / ((v / (1 - std::pow(0.999, k))).sqrt() + 1e-8);
    w = w - 0.01 * (update + 0.5 * w * (m * w >= 0));
  }
  CHECK(max_abs_diff(dense[0].tensor.detach(), w) <= 1e-12);
  o.cautious_decay = false;
  const ParamList plain{{"w", start.clone().set_requires_grad(true), Role::hidden}};
  auto c = make_optimizer(o, plain);
  plain[0].tensor.mutable_grad() = randn({40}, 6);
  c->step();
  CHECK(max_abs_diff(plain[0].tensor.detach(), w) > 1e-4);
}

TEST_CASE("cautious AdamW on the path of devices") {
  const at::Tensor start = randn({60}, 1).to(at::kBFloat16), g = randn({60}, 2).to(at::kBFloat16);  // bf16 weights take it on a CPU, too
  const auto run = [&](double decay, const at::Tensor& found_inf) {
    OptimizerOptions o;
    o.name = "adamw";
    o.lr = 0.05;
    o.weight_decay = decay;
    o.cautious_decay = true;
    const ParamList p{{"w", start.clone().set_requires_grad(true), Role::hidden}};
    auto optimizer = make_optimizer(o, p);
    p[0].tensor.mutable_grad() = g;
    optimizer->step(found_inf);
    return p[0].tensor.detach().clone();
  };
  const at::Tensor decayed = run(2, {}), plain = run(0, {}), towards_zero = (start * g).ge(0);
  CHECK(at::equal(decayed.eq(plain).logical_not(), towards_zero));
  CHECK((decayed - plain).masked_select(towards_zero).mul(start.masked_select(towards_zero)).lt(0).all().item<bool>());
  CHECK(at::equal(run(2, at::ones({})), start));
}

TEST_CASE("statistics of an update per group") {
  OptimizerOptions o;
  o.name = "muon_hybrid";
  o.lr = 0.01;
  o.muon_ns_iters = 8;
  const ParamList p{{"w", randn({8, 32}, 1).set_requires_grad(true), Role::hidden}, {"b", randn({50}, 2).set_requires_grad(true), Role::hidden}};
  auto optimizer = make_optimizer(o, p);
  const auto groups = optimizer->groups();
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].unit_rms == Approx(0.2));  // match_rms: 0.2 sqrt(max(A, B)) times entries of size 1/sqrt(max(A, B))
  CHECK(groups[1].unit_rms == 1);
  UpdateStats stats(*optimizer);
  const at::Tensor g = randn({8, 32}, 3), h = randn({50}, 4);
  p[0].tensor.mutable_grad() = g * 4;
  p[1].tensor.mutable_grad() = h * 4;
  stats.before(0.25);
  optimizer->set_grad_factor(0.25);
  optimizer->step();
  const at::Tensor s = stats.after();
  REQUIRE(s.sizes() == at::IntArrayRef({2, UpdateStats::kCount}));
  const auto value = [&](int64_t row, int64_t column) { return s[row][column].item<double>(); };
  CHECK(value(0, 0) == Approx(g.norm().item<double>()));
  CHECK(value(1, 0) == Approx(h.norm().item<double>()));
  CHECK(value(0, 1) == Approx(p[0].tensor.detach().square().mean().sqrt().item<double>()));
  CHECK(value(0, 2) == Approx(0.01 * 0.2).epsilon(0.03));
  CHECK(value(1, 2) == Approx(0.01).epsilon(1e-4));  // Adam's first step
  stats.before(1);
  optimizer->step(at::ones({}));
  CHECK(stats.after().select(1, 2).abs().max().item<double>() == 0);
}
