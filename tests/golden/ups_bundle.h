// One golden bundle of the reference system: index, tensors, what has been compared so far, and the tolerances of its README 10.
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "golden_file.h"
#include "ups/models/reference/conditions.h"
#include "ups/optim/param.h"

namespace ups::test {

using Json = nlohmann::ordered_json;  // the order of conditions matters

struct Bundle {
  std::filesystem::path dir;
  std::string name;
  Json index;
  TensorMap tensors;

  const Json& config() const { return index.at("config"); }
  bool has(const std::string& tensor) const { return tensors.count(tensor) != 0; }
  // An input in the wanted precision.
  at::Tensor input(const std::string& tensor, at::ScalarType dtype) const;
  // input/cond/* in dictionary order.
  models::reference::Conditions conditions(at::ScalarType dtype) const;
  // All of PREFIX/NAME as (NAME, tensor).
  std::vector<std::pair<std::string, at::Tensor>> group(const std::string& prefix) const;
  std::vector<std::pair<std::string, at::Tensor>> initial_state() const;
};

// Every index of the folder that UPS_GOLDEN_DIR or the source tree names.
std::vector<Bundle> load_bundles(const std::set<std::string>& kinds);
// Kind by the index's content, so that bundles may have any name: operator, diffusion, steady, consistency, distill, losses,
// pipeline, rewards, rollout, "" = unknown.
std::string kind_of(const Json& index);
// Fails the test case if a bundle that this source tree ships is missing.
void require_committed_bundles();

// Compares results with the fp32 values (dtype kFloat) or the f64/ twins (kDouble; without a twin nothing is compared). Problems are
// collected with their place and reported by finish().
class Comparison {
 public:
  Comparison(const Bundle& bundle, at::ScalarType dtype, std::string variant);
  void output(const std::string& name, const at::Tensor& value);                   // 2e-6 of the largest value
  void gradients(const std::string& prefix, const optim::ParamList& params);       // reads .grad
  void gradient(const std::string& prefix, const std::string& name, const at::Tensor& value);
  void sequence(const std::string& name, const at::Tensor& value);                 // element by element, relative
  void parameters(const std::string& prefix, const std::vector<std::pair<std::string, at::Tensor>>& values);  // 99.9 % rule
  void moments(const std::string& prefix, const std::vector<std::pair<std::string, at::Tensor>>& values);
  // Every fp32 tensor of the index outside input/ (and outside the given prefixes) must have been compared.
  void finish(const std::vector<std::string>& not_compared = {});

 private:
  const at::Tensor* expected(const std::string& name);
  void report(const std::string& name, double error, double bound);
  bool zero_gradient(const std::string& name) const;
  double largest_gradient(const std::string& prefix) const;
  const Bundle& bundle_;
  at::ScalarType dtype_;
  std::string variant_;
  std::set<std::string> seen_;
  std::vector<std::string> problems_;
  int compared_ = 0;
};

}  // namespace ups::test
