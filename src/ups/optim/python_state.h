// Optimizer state in the layouts of Python programs, as a plain tree; the .pt reader and writer are io's (io::PtValue has these fields).
//   torch     {"state": {i: {..}}, "param_groups": [{.., "params": [i], "param_names": [name]}]}
//   wrapper   {"optimizer_0": torch, "optimizer_1": torch}      UPS: Muon, then AdamW
//   KJ        torch with "use_muon" per group and integer steps
#pragma once
#include "ups/optim/optimizer.h"

namespace ups::optim {

struct PyEntry;
struct PyValue {
  enum class Kind { none, boolean, integer, real, text, tuple, list, dict, tensor };
  Kind kind = Kind::none;
  int64_t integer = 0;  // also the value of a boolean
  double real = 0;
  std::string text;
  at::Tensor tensor;
  std::vector<PyValue> items;  // tuple, list
  std::vector<PyEntry> pairs;  // dict; keys are texts or integers

  const PyValue* find(std::string_view key) const;
  const PyValue* find(int64_t key) const;
};
struct PyEntry {
  PyValue key, value;
};

// Moonlight and dion keep sums, M <- mu M + G; the others averages. automatic: averages under "momentum_buffer", sums under "momentum".
enum class MuonBuffer { automatic, ema, sum };

// Fills the optimizer's state. Parameters are found by param_names; without names by position, if counts and every shape agree. Returns
// remarks worth printing. Throws Error (exit 4) listing up to 20 differences; then nothing has been written.
std::vector<std::string> import_python_state(Optimizer& optimizer, const PyValue& root, MuonBuffer buffer, const std::string& what);

// torch layout, or the wrapper for a hybrid; accepted by load_state_dict of Python's classes. Tensors are handles, not copies.
PyValue export_python_state(const Optimizer& optimizer);

}  // namespace ups::optim
