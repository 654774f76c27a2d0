// Objectives of the corrector and of its distillation on a residual whose exact networks are known.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "gaussian_residual.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/stages/distill_objective.h"
#include "ups/stages/sample_scores.h"

using namespace ups;
using at::Tensor;
using test::corrector_of, test::GaussianNet, test::kMean, test::kStd;
using Kind = GaussianNet::Kind;

namespace {

constexpr int64_t kRows = 4096, kCells = 16;

stages::NoiseOf noise_of(uint64_t key, int64_t rows = kRows) {
  return [key, rows](int64_t draw) { return models::noise_like(at::empty({rows, 1, kCells}), key + 1000 * static_cast<uint64_t>(draw)); };
}

stages::ResidualRows gaussian_rows() {
  stages::ResidualRows r;
  r.z = at::zeros({kRows, 1, kCells});
  r.z_op = at::ones({kRows, 1, kCells});
  r.r = kMean + kStd * noise_of(77)(0);
  r.target = r.z_op + 2 * r.r;
  return r;
}

double loss_of(const std::string& objective, const models::Corrector& corrector) {
  const auto& o = stages::residual_objective(objective);
  const auto rows = gaussian_rows();
  train::Prepared p;
  o.draw(rows.z, 5, p);
  const stages::Question q = o.ask(rows, p);
  REQUIRE(q.x.size(0) == q.copies * kRows);
  const Tensor z = rows.z.repeat({q.copies, 1, 1}), loss = o.loss(rows, p, corrector.network(q.x, z, z, {}, q.tau, at::zeros_like(q.tau)));
  CHECK(loss.sizes() == at::IntArrayRef{kRows});
  return loss.mean().item<double>();
}

Tensor sample_of(const std::string& objective, const models::Corrector& corrector, const stages::ResidualSampler& sampler) {
  const auto rows = gaussian_rows();
  return stages::residual_objective(objective).sample(corrector, rows.z, rows.z_op, {}, noise_of(3), sampler);
}

Kind kind_of(const std::string& objective) { return objective == "flow" ? Kind::velocity : objective == "crps" ? Kind::member : Kind::v_prediction; }

}  // namespace

TEST_CASE("exact networks sample the residual's distribution") {
  for (const std::string objective : {"flow", "edm", "crps"}) {
    INFO(objective);
    const auto corrector = corrector_of(std::make_unique<GaussianNet>(kind_of(objective)), objective == "edm");
    const Tensor x = sample_of(objective, corrector, {true, 32});
    CHECK(x.mean().item<double>() == Approx(kMean).margin(0.01));
    CHECK(x.std().item<double>() == Approx(kStd).margin(0.01));
  }
}

TEST_CASE("the exact network is the minimum of each squared objective: a bias costs its square") {
  for (const std::string objective : {"flow", "edm", "refiner"}) {
    INFO(objective);
    CHECK(stages::residual_objective(objective).squared());
    const double exact = loss_of(objective, corrector_of(std::make_unique<GaussianNet>(kind_of(objective)), objective == "edm"));
    for (double bias : {-0.2, 0.2})
      CHECK(loss_of(objective, corrector_of(std::make_unique<GaussianNet>(kind_of(objective), bias), objective == "edm")) - exact == Approx(0.04).margin(0.01));
  }
}

TEST_CASE("crps: a calibrated member pays (1 + .05) q / sqrt(pi), any other spread or centre more") {
  CHECK_FALSE(stages::residual_objective("crps").squared());
  const double exact = loss_of("crps", corrector_of(std::make_unique<GaussianNet>(Kind::member)));
  CHECK(exact == Approx(1.05 * kStd / std::sqrt(3.14159265)).margin(0.003));
  CHECK(loss_of("crps", corrector_of(std::make_unique<GaussianNet>(Kind::member, 0.0, 0.5))) > 1.05 * exact);
  CHECK(loss_of("crps", corrector_of(std::make_unique<GaussianNet>(Kind::member, 0.0, 2.0))) > 1.05 * exact);
  CHECK(loss_of("crps", corrector_of(std::make_unique<GaussianNet>(Kind::member, 0.3))) > 1.05 * exact);
}

TEST_CASE("refiner: a network that knows the residual is shown it at PDE-Refiner's four levels") {
  // F = c eps - s r with eps from y = c r + s eps.
  class Knows : public models::FieldModel {
   public:
    Tensor forward(const Tensor& seen, const models::Condition& c) override {
      const Tensor y = seen.narrow(1, 0, 1), t = c.tau.view({-1, 1, 1}), n = ((1 - t).square() + t.square()).sqrt(), cos = (1 - t) / n, sin = t / n;
      levels.push_back({y, c.tau});
      return cos * (y - cos * kMean) / sin - sin * kMean;
    }
    std::vector<std::pair<Tensor, Tensor>> levels;
  };
  auto net = std::make_unique<Knows>();
  const Knows& seen = *net;
  const models::Corrector corrector(std::move(net), {1.0}, {1.0}, 1);
  const Tensor x = sample_of("refiner", corrector, {});
  CHECK((x - kMean).abs().max().item<double>() < 1e-3);
  REQUIRE(seen.levels.size() == 4);
  CHECK(stages::residual_objective("refiner").evaluations({}) == 4);
  const double minimum = 4e-7;
  double left = 0;
  for (size_t i = 0; i < 4; ++i) {  // the first call is pure noise
    left = 1;
    for (size_t k = 0; k <= 3 - i; ++k) left *= 1 - std::pow(minimum, static_cast<double>(3 - k) / 3);
    const Tensor& y = seen.levels[i].first;
    CHECK(y.mean().item<double>() == Approx(std::sqrt(left) * kMean).margin(0.02));
    CHECK(y.std().item<double>() == Approx(std::sqrt(1 - left)).epsilon(0.02));
    const double tau = seen.levels[i].second[0].item<double>();
    CHECK(tau * tau / (tau * tau + (1 - tau) * (1 - tau)) == Approx(1 - left).epsilon(1e-3));
  }
}

TEST_CASE("refiner: every level is trained") {
  train::Prepared p;
  stages::residual_objective("refiner").draw(at::zeros({kRows, 1, kCells}), 9, p);
  const Tensor tau = std::get<0>(p.tensors.at("tau").sort());
  for (int64_t k = 0; k < 4; ++k) CHECK(std::abs(tau[k * kRows / 4 + kRows / 8].item<double>() - tau[k * kRows / 4 + kRows / 16].item<double>()) < 1e-7);
  CHECK(tau[kRows - 1].item<double>() == 1.0);
}

TEST_CASE("preconditioned velocity is the velocity of the straight path, finite from tau 0 to 1") {
  const auto plain = corrector_of(std::make_unique<GaussianNet>(Kind::velocity));
  const auto edm = corrector_of(std::make_unique<GaussianNet>(Kind::v_prediction), true);
  const Tensor x = noise_of(1, 32)(0), z = at::zeros_like(x), tau = at::linspace(0, 1, 32), s = at::zeros({32});
  CHECK(at::allclose(edm.velocity(x, z, z, {}, tau, s), plain.velocity(x, z, z, {}, tau, s), 1e-4, 1e-5));
}

TEST_CASE("distillation: the exact flow map costs nothing, a bias does, for every objective") {
  const auto exact = corrector_of(std::make_unique<GaussianNet>(Kind::flow_map)), wrong = corrector_of(std::make_unique<GaussianNet>(Kind::flow_map, 0.3));
  const auto rows = gaussian_rows();
  const Tensor uniform = models::uniform_like({kRows}, 4, rows.z.options()), noise = noise_of(6)(0);
  for (const std::string name : {"shortcut", "cd", "direct"}) {
    INFO(name);
    const auto& o = stages::distill_objective(name);
    const int64_t last = o.variant(1.0);
    const Tensor good = o.loss({exact, exact, exact}, rows, last, uniform, noise), bad = o.loss({wrong, exact, exact}, rows, last, uniform, noise);
    CHECK(good.sizes() == at::IntArrayRef{kRows});
    CHECK(good.mean().item<double>() < 2e-3);
    CHECK(bad.mean().item<double>() > 0.05);
    for (int64_t steps = 1; steps <= std::min<int64_t>(4, o.max_steps()); ++steps) {
      const Tensor x = o.sample(exact, rows.z, rows.z_op, {}, noise_of(8), steps);
      CHECK(x.mean().item<double>() == Approx(kMean).margin(0.01));
      CHECK(x.std().item<double>() == Approx(kStd).margin(0.01));
    }
  }
}

TEST_CASE("cd: the target is one Heun step of the teacher nearer to the residual, by the average") {
  // A teacher that stands still and an average that answers 0.25 everywhere: f(x, tau) = x - 0.25 tau, so target - end = 0.25 (tau - before).
  class Constant : public models::FieldModel {
   public:
    explicit Constant(double v) : v_(v) {}
    Tensor forward(const Tensor& seen, const models::Condition&) override { return at::full_like(seen.narrow(1, 0, 1), v_); }

   private:
    double v_;
  };
  const models::Corrector still(std::make_unique<Constant>(0.0), {1.0}, {1.0}, 1), quarter(std::make_unique<Constant>(0.25), {1.0}, {1.0}, 1);
  const auto rows = gaussian_rows();
  const Tensor l = stages::distill_objective("cd").loss({quarter, still, quarter}, rows, 8, models::uniform_like({kRows}, 4, rows.z.options()), noise_of(6)(0));
  CHECK(at::allclose(l, at::full_like(l, std::hypot(0.25 / 8, 0.00054) - 0.00054), 1e-3, 1e-6));
}

TEST_CASE("objectives by name") {
  CHECK_THROWS_AS(stages::residual_objective("shortcut"), Error);
  CHECK_THROWS_AS(stages::distill_objective("flow"), Error);
}

TEST_CASE("scores of samples: calibrated members at places of very different size") {
  const Tensor centre = 10 * at::arange(50, at::kFloat).view({50, 1, 1}).expand({50, 1, 400});
  const auto draw = [&](uint64_t key) { return centre + models::noise_like(at::empty({50, 1, 400}), key); };
  stages::SampleScores s;
  std::vector<Tensor> members;
  for (uint64_t m = 0; m < 6; ++m) members.push_back(draw(10 + m));
  s.add(at::stack(members), draw(1));
  CHECK(s.crps() == Approx(1 / std::sqrt(3.14159265)).epsilon(0.03));
  CHECK(s.spread() == Approx(1).epsilon(0.03));
  CHECK(s.spread_skill() == Approx(1).epsilon(0.03));
  CHECK(s.mean_error() == Approx(centre.mean().item<double>()).epsilon(0.01));
}
