// The `losses` bundle: every loss and metric function with its gradient, and the curriculum table. Also: kinds of bundles.
#include <ATen/ATen.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/reference/losses.h"
#include "ups_training.h"

#include <functional>
#include <iostream>

namespace ups::test {
namespace {

namespace ref = models::reference;
using Fn = std::function<at::Tensor(const at::Tensor& p, const at::Tensor& y)>;

Fn loss_function(const std::string& name, const Bundle& b) {
  if (name == "spectral_magnitude") return [](auto& p, auto& y) { return ref::spectral_magnitude_loss(p, y, 0.05); };
  if (name == "spectral_energy_tokens") return [](auto& p, auto& y) { return ref::spectral_energy_error(p, y, 1); };
  if (name == "metric_spectral_energy_error") return [](auto& p, auto& y) { return ref::spectral_energy_error(p, y, -1); };
  if (name == "nrmse") return [](auto& p, auto& y) { return ref::nrmse(p, y); };
  if (name == "mse") return [](auto& p, auto& y) { return ref::weighted_mse(p, y, 0.7); };
  if (name == "rollout") return [](auto& p, auto& y) { return ref::weighted_mse(p, y, 0.5); };
  if (name == "feature_mean") return [](auto& p, auto& y) { return ref::feature_mean_loss(p, y, 0.4); };
  if (name == "metric_conservation_gap") return [](auto& p, auto& y) { return ref::conservation_gap(p, y); };
  if (name == "metric_mae") return [](auto& p, auto& y) { return ref::mae(p, y); };
  if (name == "edge_total_variation") {
    return [edges = b.tensors.at("input/edges")](auto& p, auto&) { return ref::edge_total_variation(p, edges, 0.3); };
  }
  return {};
}

void check_losses(const Bundle& b, at::ScalarType dtype) {
  Comparison c(b, dtype, dtype == at::kDouble ? "float64" : "fp32");
  for (const auto& [key, value] : b.group("value")) {
    INFO(key);
    const std::string function = key.substr(0, key.find('/')), data = key.substr(key.find('/') + 1);
    const Fn f = loss_function(function, b);
    REQUIRE(f);
    const at::Tensor p = b.input(data + "/pred", dtype).clone().set_requires_grad(true);
    const at::Tensor loss = f(p, b.input(data + "/target", dtype));
    c.output("value/" + key, loss);
    loss.backward();
    // Zero predictions and equal fields: gradient 0 or rounding noise, never NaN; the rule for gradients compares them absolutely.
    c.gradient("grad", key, p.grad());
  }
  c.finish();
}

}  // namespace

TEST_CASE("golden losses and metrics match with their gradients") {
  for (const auto& b : load_bundles({"losses"})) {
    INFO(b.name);
    check_losses(b, at::kFloat);
    check_losses(b, at::kDouble);
    for (const auto& row : b.index.at("curriculum_weights")) {
      const double w = ref::curriculum_weight(row.at("epoch"), row.at("base_weight"), row.at("warmup_epochs"), row.at("max_weight"));
      CHECK(std::abs(w - row.at("weight").get<double>()) <= 1e-15);
    }
  }
}

TEST_CASE("golden bundles are all of a known kind") {
  for (const auto& b : load_bundles({"", "rewards", "rollout", "pipeline"})) {
    const std::string kind = kind_of(b.index);
    INFO(b.name);
    CHECK_FALSE(kind.empty());
    if (kind == "pipeline") continue;  // compared through the trainer: test_golden_ups_pipeline
    std::cout << "golden: " << b.name << " (" << kind << ") is skipped: test-time control comes with a later issue\n";
  }
}

TEST_CASE("nrmse of equal fields has a zero gradient") {
  const at::Tensor y = at::linspace(-1, 1, 12).reshape({1, 3, 4});
  const at::Tensor p = y.clone().set_requires_grad(true);
  ref::nrmse(p, y).backward();
  CHECK(p.grad().abs().max().item<double>() == 0.0);
}

}  // namespace ups::test
