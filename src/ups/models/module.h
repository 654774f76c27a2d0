// Parameter registration for our models. Plain ATen tensors instead of torch::nn: a file that includes torch/nn costs 20 s to
// compile, and the dotted names, roles and order below are all that checkpoints and optimizers need.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "ups/optim/param.h"

namespace ups::models {

using at::Tensor;
using optim::Role;

// Base of every block and model. Not copyable; children are members registered by reference, in the order of the state dict.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  // All parameters of this module and its children with dotted names, in registration order. Handles, not copies.
  optim::ParamList parameters() const;
  // Non-trainable tensors that belong to the state (statistics, tables).
  std::vector<std::pair<std::string, Tensor>> buffers() const;
  // Parameters then buffers, by name.
  std::vector<std::pair<std::string, Tensor>> state() const;
  // Copies values in by name; missing, unexpected or mis-shaped names throw Error (exit 4) with the first five and the counts.
  // `what` names the source in the message. Values are converted to the parameter's dtype and device.
  void load_state(const std::vector<std::pair<std::string, Tensor>>& values, const std::string& what);
  // In place; every handle stays valid.
  void to(at::ScalarType dtype);
  void to(at::Device device);
  void set_requires_grad(bool on);
  int64_t parameter_count() const;

 protected:
  // Registers and returns the tensor (requires_grad set). Keep the returned handle as a member.
  Tensor add_parameter(std::string name, Tensor init, Role role = Role::hidden);
  Tensor add_buffer(std::string name, Tensor init);
  void add_child(std::string name, Module& child);  // child must outlive this (a member)

 private:
  struct Entry {
    enum Kind { parameter, buffer, child } kind;
    std::string name;
    Tensor tensor;
    Role role = Role::hidden;
    Module* module = nullptr;
  };
  template <class F>
  void walk(const std::string& prefix, F&& f) const;
  std::vector<Entry> entries_;
};

// Deterministic initialisers, keyed by (seed, name): independent of construction order.
Tensor uniform_init(at::IntArrayRef shape, double bound, uint64_t seed, const std::string& name);
Tensor normal_init(at::IntArrayRef shape, double std, uint64_t seed, const std::string& name);

}  // namespace ups::models
