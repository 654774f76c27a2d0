#include <ATen/ATen.h>

#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups_bundle.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iostream>

namespace ups::test {
namespace {

constexpr const char* kCommitted[] = {"consistency_uneven", "diffusion_cond", "distill_generic", "losses",
                                      "operator_empty",     "operator_flat",  "operator_golden", "operator_odd",
                                      "pipeline_tiny",      "steady_cond",    "steady_golden",   "steady_one"};

double max_abs(const at::Tensor& t) { return t.numel() ? t.abs().max().item<double>() : 0.0; }

bool starts(const std::string& text, const std::string& prefix) { return text.rfind(prefix, 0) == 0; }

}  // namespace

at::Tensor Bundle::input(const std::string& tensor, at::ScalarType dtype) const {
  const at::Tensor t = tensors.at("input/" + tensor);
  return t.is_floating_point() ? t.to(dtype) : t;
}

models::reference::Conditions Bundle::conditions(at::ScalarType dtype) const {
  models::reference::Conditions out;
  const std::string prefix = "input/cond/";
  for (const auto& [key, value] : index.at("tensors").items()) {
    if (starts(key, prefix)) out.emplace_back(key.substr(prefix.size()), tensors.at(key).to(dtype));
  }
  return out;
}

std::vector<std::pair<std::string, at::Tensor>> Bundle::group(const std::string& prefix) const {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (const auto& [key, value] : tensors) {
    if (starts(key, prefix + "/")) out.emplace_back(key.substr(prefix.size() + 1), value);
  }
  return out;
}

std::vector<std::pair<std::string, at::Tensor>> Bundle::initial_state() const {
  const TensorMap map = load_safetensors(dir / (name + ".state.safetensors"));
  return {map.begin(), map.end()};
}

std::string kind_of(const Json& index) {
  const Json& c = index.at("config");
  if (c.contains("decoder")) return "rewards";
  if (c.contains("time_embed_dim") && c.contains("tokens")) return "operator";
  if (c.contains("residual_guidance_weight")) return "diffusion";
  if (c.contains("num_steps")) return "steady";
  if (c.contains("chunk_weights")) return "consistency";
  if (c.contains("variants")) return "distill";
  if (index.contains("curriculum_weights")) return "losses";
  if (c.contains("config")) return "pipeline";
  for (const auto& [key, value] : index.at("tensors").items()) {
    if (starts(key, "transient")) return "rollout";
  }
  return "";
}

std::vector<Bundle> load_bundles(const std::set<std::string>& kinds) {
  const std::filesystem::path dir = golden_dir("UPS_GOLDEN_DIR", "ups");
  std::vector<std::filesystem::path> files;
  if (std::filesystem::is_directory(dir)) {
    for (const auto& entry : std::filesystem::directory_iterator(dir)) {
      if (entry.path().extension() == ".json") files.push_back(entry.path());
    }
  }
  std::sort(files.begin(), files.end());
  std::vector<Bundle> out;
  for (const auto& file : files) {
    std::ifstream in(file);
    Bundle b{dir, file.stem().string(), Json::parse(in), {}};
    if (!b.index.contains("bundle") || !kinds.count(kind_of(b.index))) continue;
    b.tensors = load_safetensors(dir / (b.name + ".safetensors"));
    out.push_back(std::move(b));
  }
  return out;
}

void require_committed_bundles() {
  const char* other = std::getenv("UPS_GOLDEN_DIR");
  if (other && *other) return;  // another folder may hold any selection
  for (const char* name : kCommitted) {
    INFO("bundle " << name << " in " << golden_dir("UPS_GOLDEN_DIR", "ups"));
    CHECK(std::filesystem::exists(golden_dir("UPS_GOLDEN_DIR", "ups") / (std::string(name) + ".json")));
    CHECK(std::filesystem::exists(golden_dir("UPS_GOLDEN_DIR", "ups") / (std::string(name) + ".safetensors")));
  }
}

Comparison::Comparison(const Bundle& bundle, at::ScalarType dtype, std::string variant)
    : bundle_(bundle), dtype_(dtype), variant_(std::move(variant)) {}

const at::Tensor* Comparison::expected(const std::string& name) {
  seen_.insert(name);
  const auto it = bundle_.tensors.find(dtype_ == at::kDouble ? "f64/" + name : name);
  if (it == bundle_.tensors.end()) {
    if (dtype_ != at::kDouble) problems_.push_back(name + " is not in the bundle");
    return nullptr;
  }
  ++compared_;
  return &it->second;
}

void Comparison::report(const std::string& name, double error, double bound) {
  if (error <= bound) return;  // false for NaN
  std::ostringstream line;
  line << name << ": off by " << error << ", allowed " << bound;
  problems_.push_back(line.str());
}

void Comparison::output(const std::string& name, const at::Tensor& value) {
  const at::Tensor* want = expected(name);
  if (want) report(name, max_abs_diff(value, *want), (dtype_ == at::kDouble ? 1e-10 : 2e-6) * max_abs(*want));
}

bool Comparison::zero_gradient(const std::string& name) const {
  const Json& p = bundle_.index.at("precision_fp32_vs_fp64");
  for (const char* group : {"grad", "rollout_grad"}) {
    if (!p.contains(group) || !p.at(group).contains("zero_gradient_tensors")) continue;
    for (const auto& n : p.at(group).at("zero_gradient_tensors")) {
      if (n == name) return true;
    }
  }
  return false;
}

double Comparison::largest_gradient(const std::string& prefix) const {
  double largest = 0;
  for (const auto& [name, value] : bundle_.group(prefix)) largest = std::max(largest, max_abs(value));
  return largest;
}

void Comparison::gradient(const std::string& prefix, const std::string& name, const at::Tensor& value) {
  const std::string full = prefix + "/" + name;
  const at::Tensor* want = expected(full);
  if (!want) return;
  const double largest = largest_gradient(prefix), error = max_abs_diff(value, *want);
  if (dtype_ == at::kDouble) report(full, error, 1e-10 * std::max(max_abs(*want), 1e-3 * largest));
  else report(full, error, zero_gradient(name) ? 1e-6 * largest : 1e-5 * max_abs(*want) + 1e-6 * largest);
}

void Comparison::gradients(const std::string& prefix, const optim::ParamList& params) {
  for (const auto& p : params) gradient(prefix, p.name, p.tensor.grad());
}

void Comparison::sequence(const std::string& name, const at::Tensor& value) {
  const at::Tensor* want = expected(name);
  if (!want) return;
  if (value.sizes() != want->sizes()) return report(name + " (length)", 1, 0);
  const at::Tensor a = value.to(at::kDouble), b = want->to(at::kDouble);
  report(name, max_abs((a - b) / b), dtype_ == at::kDouble ? 1e-10 : 2e-6);
}

void Comparison::parameters(const std::string& prefix, const std::vector<std::pair<std::string, at::Tensor>>& values) {
  std::vector<at::Tensor> errors;
  for (const auto& [name, value] : values) {
    const at::Tensor* want = expected(prefix + "/" + name);
    if (!want || zero_gradient(name)) continue;
    report(prefix + "/" + name, max_abs_diff(value, *want), dtype_ == at::kDouble ? 1e-10 : 1e-4);
    errors.push_back((value.detach().to(at::kDouble) - want->to(at::kDouble)).abs().flatten());
  }
  if (errors.empty() || dtype_ == at::kDouble) return;
  const at::Tensor all = at::cat(errors);
  const double off = (all > 1e-6).sum().item<double>() / static_cast<double>(all.numel());
  report(prefix + " (share of elements off by more than 1e-6)", off, 1e-3);
}

void Comparison::moments(const std::string& prefix, const std::vector<std::pair<std::string, at::Tensor>>& values) {
  for (const auto& [name, value] : values) {
    const at::Tensor* want = expected(prefix + "/" + name);
    if (!want || zero_gradient(name)) continue;
    report(prefix + "/" + name, max_abs_diff(value, *want), (dtype_ == at::kDouble ? 1e-10 : 1e-4) * max_abs(*want));
  }
}

void Comparison::finish(const std::vector<std::string>& not_compared) {
  for (const auto& [key, value] : bundle_.index.at("tensors").items()) {
    if (starts(key, "input/") || starts(key, "f64/") || seen_.count(key)) continue;
    if (std::any_of(not_compared.begin(), not_compared.end(), [&k = key](const std::string& p) { return starts(k, p); })) continue;
    problems_.push_back(key + " was not compared");
  }
  if (dtype_ == at::kDouble && compared_ == 0) problems_.push_back("no f64/ twin was compared");
  std::string text;
  for (size_t i = 0; i < problems_.size() && i < 12; ++i) text += "\n  " + problems_[i];
  INFO(bundle_.name << " " << variant_ << ": " << problems_.size() << " problems, " << compared_ << " tensors compared" << text);
  CHECK(problems_.empty());
}

}  // namespace ups::test
