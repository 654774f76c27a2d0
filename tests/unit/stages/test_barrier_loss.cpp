// The barrier loss against its formula, written out for single samples.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/stages/barrier_loss.h"

using namespace ups;
using stages::BarrierGoal;
using stages::BarrierLoss;
using Type = BarrierGoal::Type;

namespace {

at::Tensor values(std::vector<float> v) { return at::tensor(v); }

double loss_of(BarrierGoal goal, double x) {
  goal.term = goal.group = "a";
  BarrierLoss loss({goal}, "per_sample_mean", at::kCPU);
  return loss({{"a", values({static_cast<float>(x)})}}, false).item<double>();
}

BarrierGoal goal(Type type, double scale = 1, double low = 0, double high = 1, double healthy = 0.5) { return {"", "", type, scale, low, high, healthy}; }

const std::vector<std::string> kTerms{"a", "b"};

}  // namespace

TEST_CASE("goals are -log of their scores") {
  CHECK(loss_of(goal(Type::minimize_soft, 2), 3) == Approx(1.5));
  CHECK(loss_of(goal(Type::minimize_hard, 2), 3) == Approx(std::log(1 + 2.25)));
  CHECK(loss_of(goal(Type::upper, 2, 0, 1), 0.9) == 0);
  CHECK(loss_of(goal(Type::upper, 2, 0, 1), 4) == Approx(1.5));
  CHECK(loss_of(goal(Type::lower, 2, 1, 0), 1.1) == 0);
  CHECK(loss_of(goal(Type::lower, 2, 1, 0), -2) == Approx(1.5));
  constexpr double floor = BarrierLoss::kBoxFloor;
  const auto box = goal(Type::box, 1, 2, 6);
  CHECK(loss_of(box, 4) == Approx(0).margin(1e-6));
  CHECK(loss_of(box, 5) == Approx(-std::log(floor + (1 - floor) * 0.5)));
  CHECK(loss_of(box, 6) == Approx(-std::log(floor)).epsilon(1e-4));
  CHECK(loss_of(box, 8) == Approx(-std::log(floor) + 2));
  const auto uneven = goal(Type::box_asymmetric, 1, 0, 10, 2);
  CHECK(loss_of(uneven, 2) == Approx(0).margin(1e-6));
  CHECK(loss_of(uneven, 1) == Approx(loss_of(uneven, 6)));
}

TEST_CASE("a sample outside its box is pulled back") {
  for (const double x : {-3.0, 9.0}) {
    at::Tensor t = values({static_cast<float>(x)}).requires_grad_();
    BarrierGoal g = goal(Type::box, 1, 2, 6);
    g.term = g.group = "a";
    BarrierLoss loss({g}, "per_sample_mean", at::kCPU);
    loss({{"a", t}}, false).backward();
    CHECK(t.grad().item<double>() * (x - 4) > 0);
  }
}

TEST_CASE("the worst group of every sample counts, its goals by their geometric mean") {
  // Sample 0: group p has (2 + 4) / 2 = 3, q 1; sample 1: p 0, q 5.
  const std::vector<BarrierGoal> goals{{"a", "p", Type::minimize_soft, 1.0}, {"b", "p", Type::minimize_soft, 1.0}, {"c", "q", Type::minimize_soft, 1.0}};
  const stages::LossTerms terms{{"a", values({2, 0})}, {"b", values({4, 0})}, {"c", values({1, 5})}};
  CHECK(BarrierLoss(goals, "per_sample_mean", at::kCPU)(terms, false).item<double>() == Approx(4));
  CHECK(BarrierLoss(goals, "global_min", at::kCPU)(terms, false).item<double>() == Approx(5));
  CHECK(BarrierLoss(goals, "topk", at::kCPU)(terms, false).item<double>() == Approx(4));
  std::vector<float> many(20);
  for (size_t i = 0; i < many.size(); ++i) many[i] = static_cast<float>(i);
  CHECK(BarrierLoss({goals[2]}, "topk", at::kCPU)({{"c", values(many)}}, false).item<double>() == Approx(15.5));  // 12 .. 19
}

TEST_CASE("automatic scales come from the calibration and stay") {
  BarrierGoal g{"a", "a", Type::minimize_soft, std::nullopt};
  BarrierLoss loss({g}, "per_sample_mean", at::kCPU);
  CHECK(loss({{"a", values({1, 4})}}, true).item<double>() == Approx(2.5 / 4.4));
  CHECK(loss({{"a", values({NAN, 2})}}, true).isnan().item<bool>());  // seen, not learned
  CHECK(loss({{"a", values({44, 44})}}, false).item<double>() == Approx(10));
  CHECK(loss.largest().item<double>() == 4);
}

TEST_CASE("goals of the configuration: what is wrong is named") {
  const auto parsed = stages::parse_goals(R"({"a": {"type": "box", "low": 0, "high": 2, "group": "g"}, "b": {"scale": 3}})", "goals", kTerms);
  REQUIRE(parsed.size() == 2);
  CHECK(parsed[0].group == "g");
  CHECK(parsed[0].high == 2);
  CHECK(*parsed[1].scale == 3);
  const auto refused = [](const std::string& json, const std::string& part) {
    try {
      stages::parse_goals(json, "goals", kTerms);
    } catch (const Error& e) {
      CHECK(e.code() == ExitCode::usage);
      INFO(e.line());
      return e.line().find(part) != std::string::npos;
    }
    return false;
  };
  CHECK(refused("[]", "goals"));
  CHECK(refused(R"({"x": {}})", "goals.x"));
  CHECK(refused(R"({"a": {"type": "maximize"}})", "minimize_soft"));
  CHECK(refused(R"({"a": {"type": "box", "low": 1}})", "high"));
  CHECK(refused(R"({"a": {"type": "box", "low": 1, "high": 1}})", "below"));
  CHECK(refused(R"({"a": {"type": "box_asymmetric", "low": 0, "high": 1, "healthy": 2}})", "healthy"));
  CHECK(refused(R"({"a": {"scale": 0}})", "scale"));
  CHECK(refused(R"({"a": {"weight": 1}})", "weight"));
}
