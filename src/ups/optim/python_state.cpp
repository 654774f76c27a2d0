#include "ups/optim/python_state.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <utility>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::optim {

const PyValue* PyValue::find(std::string_view key) const {
  for (const auto& p : pairs)
    if (p.key.kind == Kind::text && p.key.text == key) return &p.value;
  return nullptr;
}

const PyValue* PyValue::find(int64_t key) const {
  for (const auto& p : pairs)
    if (p.key.kind == Kind::integer && p.key.integer == key) return &p.value;
  return nullptr;
}

namespace {

using Kind = PyValue::Kind;

std::string shape(const at::Tensor& t) { return fmt::format("[{}]", fmt::join(t.sizes(), ",")); }

// One parameter of the file: where it belongs and what it holds.
struct Found {
  std::string name;             // ours; empty if the file has none
  std::string group;            // expected group, empty = any
  const PyValue* state = nullptr;  // dict, nullptr = never stepped
  double momentum = 0;
};

double number_of(const PyValue* v, double otherwise) {
  if (!v) return otherwise;
  if (v->kind == Kind::real) return v->real;
  return v->kind == Kind::integer ? static_cast<double>(v->integer) : otherwise;
}

void collect(const PyValue& dict, const std::string& default_group, std::vector<Found>& out, const std::string& what) {
  const PyValue *state = dict.find("state"), *groups = dict.find("param_groups");
  if (!state || !groups) throw checkpoint_error(what, "is no optimizer state: 'state' or 'param_groups' is missing");
  for (const PyValue& g : groups->items) {
    const PyValue *params = g.find("params"), *names = g.find("param_names"), *use_muon = g.find("use_muon");
    if (!params) throw checkpoint_error(what, "a param group has no 'params'");
    if (names && names->items.size() != params->items.size())
      throw checkpoint_error(what, fmt::format("a group has {} params and {} names", params->items.size(), names->items.size()));
    for (size_t i = 0; i < params->items.size(); ++i) {
      Found f;
      if (names) f.name = names->items[i].text;
      f.group = use_muon ? (use_muon->integer != 0 ? "muon" : "adamw") : default_group;
      f.state = state->find(params->items[i].integer);
      f.momentum = number_of(g.find("momentum"), 0);
      out.push_back(std::move(f));
    }
  }
}

// Names by position within the group, for files without them.
void name_by_position(std::vector<Found>& found, const Optimizer& optimizer, std::vector<std::string>& differences) {
  std::map<std::string, std::vector<std::string>> expected;
  std::vector<std::string> all;
  for (const auto& g : optimizer.groups())
    for (const auto& name : g.params) {
      expected[g.name].push_back(name);
      all.push_back(name);
    }
  if (found.size() != all.size()) {
    differences.push_back(fmt::format("{} parameters without names, expected {}", found.size(), all.size()));
    return;
  }
  std::map<std::string, size_t> used;
  for (size_t i = 0; i < found.size(); ++i) {
    if (found[i].group.empty()) {
      found[i].name = all[i];
      continue;
    }
    const auto& list = expected[found[i].group];
    const size_t k = used[found[i].group]++;
    if (k < list.size()) found[i].name = list[k];
    else differences.push_back(fmt::format("group {} has more than {} parameters", found[i].group, list.size()));
  }
}

struct Copy {
  at::Tensor target, value;
};

class Importer {
 public:
  Importer(Optimizer& optimizer, MuonBuffer buffer) : buffer_(buffer) {
    for (const auto& [key, t] : optimizer.state()) {
      const auto slash = key.rfind('/');
      targets_[key.substr(0, slash)].emplace_back(key.substr(slash + 1), t);
    }
    for (const auto& g : optimizer.groups())
      for (const auto& name : g.params) {
        targets_[name];
        group_of_[name] = g.name;
      }
  }

  void add(const Found& f) {
    const auto it = targets_.find(f.name);
    if (it == targets_.end()) {
      differences.push_back("unexpected " + f.name);
      return;
    }
    seen_.insert({f.name, true});
    if (!f.group.empty() && f.group != group_of_[f.name])
      differences.push_back(fmt::format("{} is in group {}, expected {}", f.name, f.group, group_of_[f.name]));
    for (const auto& [key, target] : it->second) add_value(f, key, target);
  }

  void finish() {
    for (const auto& [name, keys] : targets_)
      if (!seen_.count(name)) differences.push_back("missing " + name);
  }

  std::vector<std::string> differences;
  std::vector<Copy> copies;
  bool converted_sum = false;

 private:
  void add_value(const Found& f, const std::string& key, const at::Tensor& target) {
    const PyValue* v = f.state ? f.state->find(key) : nullptr;
    double factor = 1;
    if (key == "momentum_buffer" && group_of_[f.name] == "muon") {
      const bool dion = !v && f.state && f.state->find("momentum");
      if (dion) v = f.state->find("momentum");
      if (buffer_ == MuonBuffer::sum || (buffer_ == MuonBuffer::automatic && dion)) {
        factor = 1 - f.momentum;
        converted_sum = true;
      }
    }
    if (!v || v->kind == Kind::none) {
      // Python makes state at the first step. Our SGD counter has no counterpart: a buffer proves a first step.
      const PyValue* momentum = f.state ? f.state->find("momentum_buffer") : nullptr;
      const bool stepped = key == "step" && momentum && momentum->kind == Kind::tensor;
      if (f.state && key != "step" && !(key == "momentum_buffer")) differences.push_back(fmt::format("{} has no {}", f.name, key));
      copies.push_back({target, at::full({}, stepped ? 1.0 : 0.0, at::TensorOptions().dtype(at::kDouble)).expand(target.sizes())});
      return;
    }
    at::Tensor value = v->kind == Kind::tensor ? v->tensor : at::full({}, number_of(v, 0), at::TensorOptions().dtype(at::kDouble));
    // Python's Muon is 2-D only: programs hand it N-D weights flattened to (size(0), rest).
    const bool flattened = value.dim() == 2 && target.dim() > 2 && value.numel() == target.numel() && value.size(0) == target.size(0);
    if (value.sizes() != target.sizes() && !flattened) {
      differences.push_back(fmt::format("{}/{} has {}, expected {}", f.name, key, shape(value), shape(target)));
      return;
    }
    value = value.reshape(target.sizes());
    copies.push_back({target, factor == 1 ? value : value * factor});
  }

  MuonBuffer buffer_;
  std::map<std::string, std::vector<std::pair<std::string, at::Tensor>>> targets_;
  std::map<std::string, std::string> group_of_;
  std::map<std::string, bool> seen_;
};

}  // namespace

std::vector<std::string> import_python_state(Optimizer& optimizer, const PyValue& root, MuonBuffer buffer, const std::string& what) {
  c10::NoGradGuard no_grad;
  std::vector<Found> found;
  if (root.find("optimizer_0")) {
    const auto groups = optimizer.groups();
    for (size_t i = 0; const PyValue* part = root.find("optimizer_" + std::to_string(i)); ++i)
      collect(*part, i < groups.size() ? groups[i].name : "?", found, what);
  } else {
    collect(root, "", found, what);
  }
  std::vector<std::string> remarks;
  Importer importer(optimizer, buffer);
  size_t named = 0;
  for (const auto& f : found) named += !f.name.empty();
  if (named == 0) {
    name_by_position(found, optimizer, importer.differences);
    remarks.push_back(what + ": no parameter names; matched by position and shape");
  } else if (named != found.size()) {
    importer.differences.push_back("some groups have param_names, others not");
  }
  if (importer.differences.empty()) {
    for (const auto& f : found) importer.add(f);
    importer.finish();
  }
  if (!importer.differences.empty()) {
    auto& d = importer.differences;
    const size_t count = d.size();
    constexpr size_t kMaxListed = 20;
    if (count > kMaxListed) d.resize(kMaxListed);
    throw checkpoint_error(what, fmt::format("optimizer state differs in {} places: {}", count, join(d, "; ")),
                           "the file belongs to another model or optimizer");
  }
  for (const auto& c : importer.copies) c.target.copy_(c.value);
  if (importer.converted_sum) remarks.push_back(what + ": Muon momentum converted from sums to averages");
  return remarks;
}

}  // namespace ups::optim
