// Optimizer settings of trajectory.json as our options, and a model of plain parameters to run them on.
#pragma once
#include <ATen/ATen.h>

#include <nlohmann/json.hpp>

#include "golden_file.h"
#include "ups/optim/optimizer.h"

namespace ups::test {

// The 67 cases name Python's classes and arguments; this is their meaning in our keys.
inline optim::OptimizerOptions golden_options(const nlohmann::json& c) {
  using nlohmann::json;
  optim::OptimizerOptions o;
  const std::string family = c.at("family");
  const json& opt = c.at("options");
  const auto betas = [&](const json& j) {
    if (j.contains("betas")) o.betas = j["betas"].get<std::vector<double>>();
    o.eps = j.value("eps", 1e-8);
  };
  if (family == "adam" || family == "adamw" || family == "sgd") {
    o.name = family;
    o.lr = opt.value("lr", 1e-3);
    o.weight_decay = opt.value("weight_decay", family == "adamw" ? 0.01 : 0.0);
    o.amsgrad = opt.value("amsgrad", false);
    o.momentum = opt.value("momentum", 0.0);
    o.dampening = opt.value("dampening", 0.0);
    o.nesterov = opt.value("nesterov", false);
    betas(opt);
    return o;
  }
  o.name = "muon_hybrid";
  const json& m = family == "muon" ? opt : opt.at("muon");
  o.muon_lr = m.value("lr", 1e-3);
  o.muon_beta = m.value("momentum", 0.95);
  o.muon_nesterov = m.value("nesterov", true);
  o.muon_weight_decay = m.value("weight_decay", family == "muon" || family == "hybrid_wrapper" ? 0.1 : 0.0);
  if (opt.contains("adamw")) {
    const json& a = opt["adamw"];
    o.adamw_lr = a.at("lr").get<double>();
    o.adamw_weight_decay = a.at("weight_decay").get<double>();
    betas(a);
  }
  if (family == "spec") {
    o.muon_schedule = m.at("schedule");
    o.muon_ns_iters = m.at("ns_iters");
    o.muon_scale_mode = m.at("scale_mode");
    o.muon_scale = m.at("scale").get<double>();
    if (m.contains("split"))
      for (const auto& [name, rows] : m["split"].items()) o.muon_split[name].rows = rows.get<std::vector<int64_t>>();
  } else if (family == "kj_hybrid") {
    o.muon_schedule = "kj";
    o.muon_scale_mode = "kj_compat";
  } else {  // torch.optim.Muon
    o.muon_schedule = "kj";
    o.muon_ns_iters = m.value("ns_steps", 5);
    if (m.contains("ns_coefficients")) {
      o.muon_schedule = "custom";
      o.muon_coefficients = {m["ns_coefficients"].get<std::vector<double>>()};
    }
    o.muon_scale_mode = m.value("adjust_lr_fn", "original");
    o.muon_eps_mode = "clamp";
  }
  // One-sided matrices go to Muon only under include_all.
  const auto muon_params = opt.value("muon_params", c.at("params").get<std::vector<std::string>>());
  for (const auto& name : muon_params) o.include_all = o.include_all || name == "row.weight";
  if (c.at("orthogonalizer") == "bf16") o.muon_dtype = "bf16";
  return o;
}

struct GoldenModel {
  optim::ParamList params;
  TensorMap init;

  GoldenModel(const nlohmann::json& names, const TensorMap& inputs, at::ScalarType type) {
    for (const std::string name : names) {
      const at::Tensor w = inputs.at("init/" + name).to(type).clone();
      init[name] = w.to(at::kDouble).clone();
      params.push_back({name, w.clone().set_requires_grad(true), optim::Role::hidden});
    }
  }
};

// Gradients of step t (from 1) into the parameters; those named in `mask` at this step stay undefined.
inline void set_gradients(optim::ParamList& params, const TensorMap& inputs, const nlohmann::json& c, int64_t t) {
  for (auto& p : params) {
    p.tensor.mutable_grad().reset();
    bool masked = false;
    if (c.contains("mask") && c["mask"].contains(p.name))
      for (const int64_t step : c["mask"][p.name]) masked = masked || step == t;
    if (!masked) p.tensor.mutable_grad() = inputs.at("grad/" + p.name).select(0, t - 1).to(p.tensor.scalar_type()).clone();
  }
}

// rel_weight = max|d|/max|W|, rel_update = max|d|/max|W - W0|, worst parameter.
struct Relative {
  double weight = 0, update = 0;
};
inline Relative distance(const optim::ParamList& params, const TensorMap& init, const TensorMap& file, const std::string& prefix) {
  Relative worst;
  for (const auto& p : params) {
    const at::Tensor expected = file.at(prefix + p.name).to(at::kDouble);
    const double d = max_abs_diff(p.tensor, expected);
    if (d == 0) continue;
    worst.weight = std::max(worst.weight, d / expected.abs().max().item<double>());
    worst.update = std::max(worst.update, d / (expected - init.at(p.name)).abs().max().item<double>());
  }
  return worst;
}

}  // namespace ups::test
