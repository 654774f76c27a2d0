// Copying state by name with a readable complaint.
#pragma once
#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace ups::optim {

// Copies every source tensor into the target of the same name. Names and shapes must agree exactly; otherwise Error (exit 4) listing up
// to 20 differences with both shapes, and nothing is written. `kind` and `what` name the state and its source in the message.
void copy_by_name(const std::vector<std::pair<std::string, at::Tensor>>& target,
                  const std::vector<std::pair<std::string, at::Tensor>>& source, const std::string& kind, const std::string& what);

}  // namespace ups::optim
