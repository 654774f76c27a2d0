// Which parameter goes to Muon and which to AdamW (optim.md 3): ordered rules, the first match wins, every parameter is claimed once.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/optim/options.h"
#include "ups/optim/param.h"

namespace ups::optim {

enum class Family { muon, adamw };
enum class Reason { included, excluded, low_rank, effective_rank, role, complex_values, matrix };

struct Route {
  size_t param;  // index into the list
  Family family;
  Reason reason;
  std::optional<MuonSplit> split;  // Muon only
};

// What an optimizer takes: indices of the parameters that require gradients, a tensor that appears twice once.
std::vector<size_t> claimed(const ParamList& params);

// Frozen parameters and repeated tensors get no route. Throws Error (exit 2): a pattern that matches nothing, an included tensor of
// effective rank < 2, a split that does not fit, two splits for one tensor.
std::vector<Route> route(const OptimizerOptions& options, const ParamList& params);

// "Muon 36 tensors 229,184 (96.7 %) | AdamW 76 tensors 7,720: 73 rank < 2, 1 effective rank, 2 role"
std::string routing_summary(const std::vector<Route>& routes, const ParamList& params);

// Every parameter with its family, the reason and its share of the trained numbers; names that differ only in layer numbers share a
// line. For any optimizer, frozen and repeated tensors included:
//   Muon   matrix     20 x [12, 12]       2,880   1.2 %  core.layers.*.attn.q_proj.weight
std::string routing_table(const OptimizerOptions& options, const ParamList& params);

// Whole-name match with * (any text) and ? (one character).
bool glob_match(std::string_view pattern, std::string_view name);

}  // namespace ups::optim
