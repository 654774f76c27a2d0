#include <ATen/ATen.h>

#include <map>
#include <utility>

#include "ups/optim/adam.h"
#include "ups/optim/hybrid.h"
#include "ups/optim/muon.h"
#include "ups/optim/python_state.h"
#include "ups/optim/sgd.h"

namespace ups::optim {
namespace {

using Kind = PyValue::Kind;

PyValue none() { return {}; }
PyValue of(bool v) {
  PyValue out;
  out.kind = Kind::boolean;
  out.integer = v;
  return out;
}
PyValue of(int64_t v) {
  PyValue out;
  out.kind = Kind::integer;
  out.integer = v;
  return out;
}
PyValue of(double v) {
  PyValue out;
  out.kind = Kind::real;
  out.real = v;
  return out;
}
PyValue of(std::string v) {
  PyValue out;
  out.kind = Kind::text;
  out.text = std::move(v);
  return out;
}
PyValue of(at::Tensor v) {
  PyValue out;
  out.kind = Kind::tensor;
  out.tensor = std::move(v);
  return out;
}
PyValue sequence(Kind kind, std::vector<PyValue> items) {
  PyValue out;
  out.kind = kind;
  out.items = std::move(items);
  return out;
}
PyValue dict() {
  PyValue out;
  out.kind = Kind::dict;
  return out;
}
template <class K>
void set(PyValue& d, K key, PyValue value) {
  d.pairs.push_back({of(std::move(key)), std::move(value)});
}

void set_adam_keys(PyValue& g, const Adam& a) {
  const auto& o = a.options();
  set(g, std::string("lr"), of(a.lrs()[0]));
  set(g, std::string("betas"), sequence(Kind::tuple, {of(o.beta1), of(o.beta2)}));
  set(g, std::string("eps"), of(o.eps));
  set(g, std::string("weight_decay"), of(o.weight_decay));
  set(g, std::string("amsgrad"), of(o.amsgrad));
  set(g, std::string("maximize"), of(false));
  set(g, std::string("foreach"), none());
  set(g, std::string("capturable"), of(false));
  set(g, std::string("differentiable"), of(false));
  set(g, std::string("fused"), none());
  set(g, std::string("decoupled_weight_decay"), of(o.decoupled));
}

void set_sgd_keys(PyValue& g, const Sgd& s) {
  const auto& r = s.options().rule;
  set(g, std::string("lr"), of(s.lrs()[0]));
  set(g, std::string("momentum"), of(r.momentum));
  set(g, std::string("dampening"), of(r.dampening));
  set(g, std::string("weight_decay"), of(r.weight_decay));
  set(g, std::string("nesterov"), of(r.nesterov));
  set(g, std::string("maximize"), of(false));
  set(g, std::string("foreach"), none());
  set(g, std::string("differentiable"), of(false));
  set(g, std::string("fused"), none());
}

// Python's Muon knows one triple of coefficients: the last step's stands for schedules with several.
void set_muon_keys(PyValue& g, const Muon& m) {
  const auto& o = m.options();
  const auto& c = o.schedule.steps.back();
  set(g, std::string("lr"), of(m.lrs()[0]));
  set(g, std::string("weight_decay"), of(o.weight_decay));
  set(g, std::string("momentum"), of(o.beta));
  set(g, std::string("nesterov"), of(o.nesterov));
  set(g, std::string("ns_coefficients"), sequence(Kind::tuple, {of(c[0]), of(c[1]), of(c[2])}));
  set(g, std::string("eps"), of(1e-7));
  set(g, std::string("ns_steps"), of(static_cast<int64_t>(o.schedule.steps.size())));
  set(g, std::string("adjust_lr_fn"), of(std::string(o.scale_mode == ScaleMode::match_rms ? "match_rms_adamw" : "original")));
}

PyValue one(const Optimizer& o) {
  PyValue group = dict(), states = dict();
  const auto info = o.groups().at(0);
  std::map<std::string, int64_t> index;
  std::vector<PyValue> indices, names;
  for (const auto& name : info.params) {
    index.emplace(name, static_cast<int64_t>(indices.size()));
    indices.push_back(of(index[name]));
    names.push_back(of(name));
  }
  if (const auto* a = dynamic_cast<const Adam*>(&o)) set_adam_keys(group, *a);
  if (const auto* s = dynamic_cast<const Sgd*>(&o)) set_sgd_keys(group, *s);
  if (const auto* m = dynamic_cast<const Muon*>(&o)) set_muon_keys(group, *m);
  set(group, std::string("params"), sequence(Kind::list, std::move(indices)));
  set(group, std::string("param_names"), sequence(Kind::list, std::move(names)));
  std::map<int64_t, PyValue> by_index;
  const bool sgd = dynamic_cast<const Sgd*>(&o) != nullptr;
  for (const auto& [key, t] : o.state()) {
    const auto slash = key.rfind('/');
    const std::string what = key.substr(slash + 1);
    if (sgd && what == "step") continue;  // our counter; Python has none
    PyValue& d = by_index.try_emplace(index.at(key.substr(0, slash)), dict()).first->second;
    set(d, what, of(t));
  }
  for (auto& [i, d] : by_index) set(states, i, std::move(d));
  PyValue root = dict();
  set(root, std::string("state"), std::move(states));
  set(root, std::string("param_groups"), sequence(Kind::list, {std::move(group)}));
  return root;
}

}  // namespace

PyValue export_python_state(const Optimizer& optimizer) {
  const auto* hybrid = dynamic_cast<const Hybrid*>(&optimizer);
  if (!hybrid) return one(optimizer);
  PyValue root = dict();
  for (size_t i = 0; i < hybrid->parts().size(); ++i) set(root, "optimizer_" + std::to_string(i), one(*hybrid->parts()[i]));
  return root;
}

}  // namespace ups::optim
