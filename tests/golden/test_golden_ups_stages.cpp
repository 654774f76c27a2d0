// Corrector, steady prior, consistency and library distillation bundles.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/reference/losses.h"
#include "ups/models/reference/residual_models.h"
#include "ups_training.h"

namespace ups::test {
namespace {

namespace ref = models::reference;
constexpr at::ScalarType kDtypes[] = {at::kFloat, at::kDouble};

const char* dtype_name(at::ScalarType dtype) { return dtype == at::kDouble ? "float64" : "fp32"; }

ref::TokenMlpConfig mlp_config(const Json& c) {
  ref::TokenMlpConfig out;
  out.latent_dim = c.at("latent_dim");
  out.hidden_dim = c.at("hidden_dim");
  if (c.contains("cond_dims")) {
    for (const auto& [name, features] : c["cond_dims"].items()) out.cond_dims.emplace_back(name, features.get<int64_t>());
  }
  return out;
}

void check_order(const Bundle& b, const optim::ParamList& params) {
  std::vector<std::string> names;
  for (const auto& p : params) names.push_back(p.name);
  CHECK(names == b.config().at("parameter_order").get<std::vector<std::string>>());
}

void check_diffusion(const Bundle& b, at::ScalarType dtype) {
  ref::DiffusionResidual model(mlp_config(b.config()), b.config().at("residual_guidance_weight"), 1);
  model.load_state(b.initial_state(), b.name);
  model.to(dtype);
  const auto params = model.parameters();
  check_order(b, params);
  Comparison c(b, dtype, dtype_name(dtype));
  const at::Tensor target = b.input("target", dtype);
  const at::Tensor z = b.input("z", dtype).clone().set_requires_grad(true);
  const at::Tensor tau = b.input("tau", dtype).clone().set_requires_grad(true);
  const auto cond = b.conditions(dtype);
  const Json& training = b.config().at("training");
  const ref::CorrectorLossWeights weights{training.at("lambda_spectral"), training.at("lambda_relative")};
  const at::Tensor drift = model(z, tau, cond);
  c.output("output/drift", drift);
  if (b.has("output/drift_guided")) c.output("output/drift_guided", model(z, tau, cond, b.input("decoded_residual", dtype)));
  const auto loss = ref::corrector_loss(drift, target, weights);
  c.output("loss/total", loss.total);
  for (const auto& [name, value] : loss.parts) c.output("loss/" + name, value);
  loss.total.backward();
  c.gradients("grad", params);
  c.gradient("grad_input", "z", z.grad());
  c.gradient("grad_input", "tau", tau.grad());
  const at::Tensor z0 = z.detach(), tau0 = tau.detach();
  compare_training(
      c, b, train(params, training_settings(training), [&] { return ref::corrector_loss(model(z0, tau0, cond), target, weights).total; }),
      "");
  c.finish();
}

void check_steady(const Bundle& b, at::ScalarType dtype) {
  const auto make = [&] {
    auto model = std::make_unique<ref::SteadyPrior>(mlp_config(b.config()), b.config().at("num_steps").get<int64_t>(), 1);
    model->load_state(b.initial_state(), b.name);
    model->to(dtype);
    return model;
  };
  const auto model = make();
  check_order(b, model->parameters());
  Comparison c(b, dtype, dtype_name(dtype));
  const at::Tensor target = b.input("target", dtype);
  const at::Tensor z = b.input("z", dtype).clone().set_requires_grad(true);
  const auto cond = b.conditions(dtype);
  const auto states = model->states(z, cond);
  std::vector<at::Tensor> drifts;
  std::vector<double> taus;
  for (int64_t k = 0; k < model->num_steps(); ++k) {
    taus.push_back(model->tau(k));
    drifts.push_back(model->drift(states[static_cast<size_t>(k)], taus.back(), cond));
  }
  c.output("output/z", (*model)(z, cond));
  c.output("output/states", at::stack(states));
  c.output("output/taus", at::tensor(taus, at::kDouble));
  c.output("output/drifts", at::stack(drifts));
  c.output("output/steady_residual_norm", ref::steady_residual_norm(states.back(), z));
  const at::Tensor loss = ref::weighted_mse(states.back(), target);
  c.output("loss/total", loss);
  loss.backward();
  c.gradients("grad", model->parameters());
  c.gradient("grad_input", "z", z.grad());
  for (const auto& [suffix, block] : b.config().at("training").items()) {
    const auto fresh = make();
    const at::Tensor z0 = z.detach();
    compare_training(c, b,
                     train(fresh->parameters(), training_settings(block),
                           [&] { return ref::weighted_mse((*fresh)(z0, cond), target); }),
                     suffix.empty() ? "" : "_" + suffix);
  }
  c.finish();
}

void check_consistency(const Bundle& b, at::ScalarType dtype) {
  ref::DiffusionResidual model(mlp_config(b.config()), 1.0, 1);
  model.load_state(b.initial_state(), b.name);
  model.to(dtype);
  const auto params = model.parameters();
  Comparison c(b, dtype, dtype_name(dtype));
  const at::Tensor z = b.input("teacher_z", dtype), taus = b.input("tau_seed", dtype);
  const Json& training = b.config().at("training");
  const int64_t micro_batch = training.at("micro_batch");
  const ref::DriftFn drift = [&](const at::Tensor& x, const at::Tensor& tau) { return model(x, tau); };
  std::vector<at::Tensor> chunks;
  for (int64_t i = 0, begin = 0; begin < z.size(0); ++i, begin += micro_batch) {
    chunks.push_back(ref::consistency_chunk_loss(drift, z.slice(0, begin, begin + micro_batch), taus[i]));
  }
  c.output("loss/chunks", at::stack(chunks));
  c.output("output/drift_sample0", model(z.slice(0, 0, 1).expand({taus.size(1), -1, -1}), taus[0]));
  const at::Tensor total = ref::consistency_loss(drift, z, taus, micro_batch);
  c.output("loss/total", total);
  total.backward();
  c.gradients("grad", params);
  compare_training(c, b, train(params, training_settings(training), [&] { return ref::consistency_loss(drift, z, taus, micro_batch); }),
                   "");
  c.finish();
}

void check_distill(const Bundle& b, at::ScalarType dtype) {
  ref::DiffusionResidual teacher(mlp_config(b.config()), 1.0, 1), student(mlp_config(b.config()), 1.0, 2);
  teacher.load_state(b.group("teacher"), b.name);
  student.load_state(b.group("student"), b.name);
  teacher.to(dtype);
  student.to(dtype);
  Comparison c(b, dtype, dtype_name(dtype));
  const auto taus = b.config().at("taus").get<std::vector<double>>();
  // Float64 twins widen the fp32 taus as they widen every other scalar.
  std::vector<double> rounded(taus.size());
  for (size_t i = 0; i < taus.size(); ++i) rounded[i] = static_cast<double>(static_cast<float>(taus[i]));
  const auto run = [&](const std::string& variant, double weight, bool normalize) {
    zero_gradients(student.parameters());
    const at::Tensor loss = ref::distill_generic_loss([&](auto& z, auto& t) { return student(z, t); },
                                                      [&](auto& z, auto& t) { return teacher(z, t); }, b.input("z", dtype), rounded,
                                                      weight, normalize);
    c.output("loss/" + variant, loss);
    loss.backward();
    c.gradients("grad_" + variant, student.parameters());
    for (const auto& p : teacher.parameters()) CHECK_FALSE(p.tensor.grad().defined());
  };
  run("normalized", 1.0, true);
  run("sum_weighted", 0.7, false);
  c.finish({"teacher/", "student/"});
}

}  // namespace

TEST_CASE("golden correctors, priors and distillation match in fp32 and float64") {
  for (const auto& b : load_bundles({"diffusion", "steady", "consistency", "distill"})) {
    const std::string kind = kind_of(b.index);
    INFO(b.name);
    for (const at::ScalarType dtype : kDtypes) {
      if (kind == "diffusion") check_diffusion(b, dtype);
      if (kind == "steady") check_steady(b, dtype);
      if (kind == "consistency") check_consistency(b, dtype);
      if (kind == "distill") check_distill(b, dtype);
    }
  }
}

}  // namespace ups::test
