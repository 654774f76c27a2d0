#include "ups/optim/optimizer.h"

#include <ATen/ATen.h>

#include <cassert>
#include <set>
#include <utility>

#include "ups/core/error.h"
#include "ups/optim/adam.h"
#include "ups/optim/hybrid.h"
#include "ups/optim/muon.h"
#include "ups/optim/named_state.h"
#include "ups/optim/routing.h"
#include "ups/optim/sgd.h"

namespace ups::optim {

void Optimizer::load_state(const NamedTensors& values, const std::string& what) { copy_by_name(state(), values, "optimizer state", what); }

void Optimizer::zero_grad() {
  for (const auto& p : params()) p.tensor.mutable_grad().reset();
}

namespace {

AdamOptions adam_options(const OptimizerOptions& o, bool decoupled) {
  AdamOptions a;
  a.lr = o.lr;
  a.weight_decay = o.weight_decay;
  a.beta1 = o.betas.at(0);
  a.beta2 = o.betas.at(1);
  a.eps = o.eps;
  a.decoupled = decoupled;
  a.amsgrad = o.amsgrad;
  a.cautious = decoupled && o.cautious_decay;
  return a;
}

at::ScalarType compute_type(const std::string& name) {
  if (name == "fp32") return at::kFloat;
  if (name == "fp64") return at::kDouble;
  if (name == "bf16") return at::kBFloat16;
  if (name == "fp16") return at::kHalf;
  return at::ScalarType::Undefined;
}

MuonOptions muon_options(const OptimizerOptions& o) {
  using Backend = MuonOptions::Backend;
  MuonOptions m;
  m.lr = o.muon_lr.value_or(o.lr);
  m.weight_decay = o.muon_weight_decay.value_or(o.weight_decay);
  m.beta = o.muon_beta;
  m.nesterov = o.muon_nesterov;
  m.schedule = ns_schedule(o.muon_schedule, o.muon_ns_iters, o.muon_coefficients);
  m.schedule_name = o.muon_schedule;
  m.scale_mode = parse_scale_mode(o.muon_scale_mode);
  m.scale = o.muon_scale.value_or(default_scale(m.scale_mode));
  m.compute = compute_type(o.muon_dtype);
  m.normuon = o.normuon;
  m.normuon_beta2 = o.normuon_beta2;
  m.cautious = o.cautious_decay;
  const std::string& eps = o.muon_eps_mode;
  if (eps == "kj" || (eps == "auto" && m.scale_mode == ScaleMode::kj_compat)) m.eps = EpsMode::kj;
  else if (eps == "clamp") m.eps = EpsMode::clamp;
  const std::string& b = o.muon_backend;
  m.backend = b == "loop" ? Backend::loop : b == "batched" ? Backend::batched : b == "fused" ? Backend::fused
            : b == "svd" ? Backend::svd : Backend::automatic;
  return m;
}

std::unique_ptr<Optimizer> make_hybrid(const OptimizerOptions& o, const ParamList& params) {
  const auto routes = route(o, params);
  std::vector<MuonParam> muon;
  ParamList adamw, all;
  for (const auto& r : routes) {
    const Param& p = params[r.param];
    all.push_back(p);
    if (r.family == Family::muon) muon.push_back({p, r.split});
    else adamw.push_back(p);
  }
  std::vector<std::unique_ptr<Optimizer>> parts;
  if (!muon.empty()) parts.push_back(std::make_unique<Muon>(muon_options(o), muon));
  if (!adamw.empty()) {
    AdamOptions a = adam_options(o, true);
    a.lr = o.adamw_lr.value_or(o.lr);
    a.weight_decay = o.adamw_weight_decay.value_or(o.weight_decay);
    parts.push_back(std::make_unique<Adam>(a, std::move(adamw)));
  }
  return std::make_unique<Hybrid>(std::move(parts), std::move(all), routing_summary(routes, params));
}

}  // namespace

std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& o, const ParamList& params) {
  validate(o);
  std::set<std::string> names;
  for (const auto& p : params)
    if (!names.insert(p.name).second) throw Error(ExitCode::internal, "optimizer", "two parameters are called " + p.name);
  if (o.is_hybrid()) return make_hybrid(o, params);
  ParamList trainable;
  for (const size_t i : claimed(params)) trainable.push_back(params[i]);
  if (o.name == "sgd") {
    SgdOptions s;
    s.lr = o.lr;
    s.rule = {o.momentum, o.dampening, o.weight_decay, o.nesterov};
    return std::make_unique<Sgd>(s, std::move(trainable));
  }
  assert(o.name == "adam" || o.name == "adamw");
  return std::make_unique<Adam>(adam_options(o, o.name == "adamw"), std::move(trainable));
}

}  // namespace ups::optim
