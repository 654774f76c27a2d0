// The handle by which optimizers know a parameter: its full name, its tensor and its role.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

namespace ups::optim {

// Declared by the module that registers the parameter; decides the default Muon routing (optim.md 3).
// stack: [.., A, B], every leading index (a Fourier mode, an expert) is a matrix of its own.
enum class Role { hidden, input, output, embedding, depthwise, stack };

struct Param {
  std::string name;   // unique, dotted: "core.down_layers.0.0.0.attn.q_proj.weight"
  at::Tensor tensor;  // leaf, requires_grad unless frozen
  Role role = Role::hidden;
};

using ParamList = std::vector<Param>;

}  // namespace ups::optim
