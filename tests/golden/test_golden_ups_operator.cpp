// Operator bundles: intermediates, outputs, losses, gradients, roll-out term, five training steps; fp32 (plain and fused kernels)
// and float64.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/reference/losses.h"
#include "ups_training.h"

namespace ups::test {
namespace {

namespace ref = models::reference;

ref::LatentOperatorConfig operator_config(const Json& c) {
  ref::LatentOperatorConfig out;
  out.latent_dim = c.at("latent_dim");
  out.hidden_dim = c.at("hidden_dim");
  out.depths = c.at("depths").get<std::vector<int64_t>>();
  out.group_size = c.at("group_size");
  out.num_heads = c.at("num_heads");
  out.mlp_ratio = c.at("mlp_ratio");
  out.time_embed_dim = c.at("time_embed_dim");
  if (c.contains("conditioning") && !c["conditioning"].is_null()) {
    ref::ConditioningConfig cond;
    cond.hidden_dim = c["conditioning"].at("hidden_dim");
    for (const auto& [name, features] : c["conditioning"].at("sources").items()) cond.sources.emplace_back(name, features.get<int64_t>());
    out.conditioning = cond;
  }
  return out;
}

void check_operator(const Bundle& b, at::ScalarType dtype, ref::Kernels kernels) {
  const auto config = operator_config(b.config());
  ref::LatentOperator model(config, 1);
  model.load_state(b.initial_state(), b.name);
  model.to(dtype);
  model.set_kernels(kernels);
  Comparison c(b, dtype, std::string(dtype == at::kDouble ? "float64" : "fp32") + (kernels == ref::Kernels::fused ? " fused" : " plain"));

  const at::Tensor z = b.input("z", dtype), dt = b.input("dt", dtype), target = b.input("target", dtype);
  const ref::Conditions cond = b.conditions(dtype);
  {
    const c10::NoGradGuard no_grad;
    c.output("output/z", model.forward(z, dt, cond));
    c.output("output/t", b.input("t", dtype) + dt);
    c.output("output/residual", model.step(z, dt, cond));
    if (b.has("output/residual_dtbatch")) c.output("output/residual_dtbatch", model.step(z, b.input("dt_batch", dtype), cond));
    if (b.has("output/residual_partial")) c.output("output/residual_partial", model.step(z, dt, {cond.at(0)}));
    if (b.has("output/residual_nocond")) c.output("output/residual_nocond", model.step(z, dt));
    if (b.has("output/residual_T1")) c.output("output/residual_T1", model.step(b.input("z_T1", dtype), dt, cond));
    if (kernels == ref::Kernels::plain) {
      model.set_probe([&](const std::string& name, const at::Tensor& t) {
        if (b.has("mid/" + name)) c.output("mid/" + name, t);
      });
      model.step(z, dt, cond);
      model.set_probe(nullptr);
    }
  }

  const Json& training = b.config().at("training");
  ref::OperatorLossWeights weights;
  weights.forward = training.value("lambda_forward", 1.0);
  weights.spectral = training.value("lambda_spectral", 0.05);
  const auto params = model.parameters();
  at::Tensor leaf = z.clone().set_requires_grad(true);
  const auto loss = ref::operator_loss(model, leaf, dt, target, weights, cond);
  c.output("loss/total", loss.total);
  for (const auto& [name, value] : loss.parts) c.output("loss/" + name, value);
  loss.total.backward();
  c.gradients("grad", params);
  c.gradient("grad_input", "z", leaf.grad());
  if (b.has("rollout_loss/total")) {
    zero_gradients(params);
    ref::OperatorLossWeights with_rollout = weights;
    with_rollout.rollout = training.at("lambda_rollout");
    const auto rollout = ref::operator_loss(model, z, dt, target, with_rollout, cond, b.input("future", dtype));
    c.output("rollout_loss/total", rollout.total);
    for (const auto& [name, value] : rollout.parts) c.output("rollout_loss/" + name, value);
    rollout.total.backward();
    c.gradients("rollout_grad", params);
  }
  const auto record =
      train(params, training_settings(training), [&] { return ref::operator_loss(model, z, dt, target, weights, cond).total; });
  compare_training(c, b, record, "");
  c.finish(kernels == ref::Kernels::plain ? std::vector<std::string>{} : std::vector<std::string>{"mid/"});
}

}  // namespace

TEST_CASE("golden operators match in fp32 and float64") {
  require_committed_bundles();
  const auto bundles = load_bundles({"operator"});
  CHECK_FALSE(bundles.empty());
  for (const auto& b : bundles) {
    INFO(b.name);
    check_operator(b, at::kFloat, ref::Kernels::plain);
    check_operator(b, at::kFloat, ref::Kernels::fused);
    check_operator(b, at::kDouble, ref::Kernels::plain);
  }
}

TEST_CASE("golden parameter order and census") {
  for (const auto& b : load_bundles({"operator"})) {
    INFO(b.name);
    ref::LatentOperator model(operator_config(b.config()), 1);
    std::vector<std::string> names;
    for (const auto& p : model.parameters()) names.push_back(p.name);
    CHECK(names == b.config().at("parameter_order").get<std::vector<std::string>>());
    CHECK(model.parameter_count() == b.config().at("parameters").get<int64_t>());
  }
}

}  // namespace ups::test
