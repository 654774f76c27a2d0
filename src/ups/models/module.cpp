#include "ups/models/module.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <map>

#include "ups/core/error.h"
#include "ups/core/rng.h"

namespace ups::models {

template <class F>
void Module::walk(const std::string& prefix, F&& f) const {
  for (const auto& e : entries_) {
    const std::string full = prefix.empty() ? e.name : prefix + "." + e.name;
    if (e.kind == Entry::child) e.module->walk(full, f);
    else f(full, e.tensor, e.role, e.kind == Entry::parameter);
  }
}

optim::ParamList Module::parameters() const {
  optim::ParamList out;
  walk("", [&](const std::string& name, const Tensor& t, Role role, bool is_parameter) {
    if (is_parameter) out.push_back({name, t, role});
  });
  return out;
}

std::vector<std::pair<std::string, Tensor>> Module::buffers() const {
  std::vector<std::pair<std::string, Tensor>> out;
  walk("", [&](const std::string& name, const Tensor& t, Role, bool is_parameter) {
    if (!is_parameter) out.emplace_back(name, t);
  });
  return out;
}

std::vector<std::pair<std::string, Tensor>> Module::state() const {
  std::vector<std::pair<std::string, Tensor>> out;
  for (const auto& p : parameters()) out.emplace_back(p.name, p.tensor);
  for (auto& b : buffers()) out.push_back(std::move(b));
  return out;
}

void Module::load_state(const std::vector<std::pair<std::string, Tensor>>& values, const std::string& what) {
  std::map<std::string, Tensor> given(values.begin(), values.end());
  std::vector<std::string> problems;
  std::vector<std::pair<Tensor, Tensor>> copies;
  for (const auto& [name, tensor] : state()) {
    const auto it = given.find(name);
    if (it == given.end()) {
      problems.push_back("missing '" + name + "'");
      continue;
    }
    if (it->second.sizes() != tensor.sizes()) {
      problems.push_back("shape of '" + name + "' is " + c10::str(it->second.sizes()) + ", expected " + c10::str(tensor.sizes()));
    } else {
      copies.emplace_back(tensor, it->second);
    }
    given.erase(it);
  }
  for (const auto& [name, tensor] : given) problems.push_back("unexpected '" + name + "'");
  if (!problems.empty()) {
    std::string text;
    for (size_t i = 0; i < problems.size() && i < 5; ++i) text += (i ? ", " : "") + problems[i];
    throw checkpoint_error(what, std::to_string(problems.size()) + " tensors do not fit the model: " + text,
                           "use weights of the same architecture and sizes");
  }
  const at::NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
}

void Module::to(at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  walk("", [&](const std::string&, const Tensor& t, Role, bool) {
    if (t.is_floating_point()) t.set_data(t.detach().to(dtype));
  });
}

void Module::to(at::Device device) {
  const at::NoGradGuard no_grad;
  walk("", [&](const std::string&, const Tensor& t, Role, bool) { t.set_data(t.detach().to(device)); });
}

void Module::set_requires_grad(bool on) {
  for (auto& p : parameters()) p.tensor.set_requires_grad(on);
}

int64_t Module::parameter_count() const {
  int64_t n = 0;
  for (const auto& p : parameters()) n += p.tensor.numel();
  return n;
}

Tensor Module::add_parameter(std::string name, Tensor init, Role role) {
  init.set_requires_grad(true);
  entries_.push_back({Entry::parameter, std::move(name), init, role, nullptr});
  return init;
}

Tensor Module::add_buffer(std::string name, Tensor init) {
  entries_.push_back({Entry::buffer, std::move(name), init, Role::hidden, nullptr});
  return init;
}

void Module::add_child(std::string name, Module& child) {
  entries_.push_back({Entry::child, std::move(name), {}, Role::hidden, &child});
}

namespace {
template <class Draw>
Tensor filled(at::IntArrayRef shape, uint64_t seed, const std::string& name, Draw draw) {
  Tensor t = at::empty(shape, at::kFloat);
  RandomStream stream(sub_seed(seed, name));
  float* p = t.data_ptr<float>();
  for (int64_t i = 0; i < t.numel(); ++i) p[i] = static_cast<float>(draw(stream));
  return t;
}
}  // namespace

Tensor uniform_init(at::IntArrayRef shape, double bound, uint64_t seed, const std::string& name) {
  return filled(shape, seed, name, [bound](RandomStream& s) { return s.uniform(-bound, bound); });
}

Tensor normal_init(at::IntArrayRef shape, double std, uint64_t seed, const std::string& name) {
  return filled(shape, seed, name, [std](RandomStream& s) { return std * s.normal(); });
}

}  // namespace ups::models
