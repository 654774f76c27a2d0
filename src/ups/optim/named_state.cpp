#include "ups/optim/named_state.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>

#include "ups/core/error.h"

namespace ups::optim {

void copy_by_name(const std::vector<std::pair<std::string, at::Tensor>>& target,
                  const std::vector<std::pair<std::string, at::Tensor>>& source, const std::string& kind, const std::string& what) {
  c10::NoGradGuard no_grad;
  constexpr size_t kMaxListed = 20;
  const auto shape = [](const at::Tensor& t) { return fmt::format("[{}]", fmt::join(t.sizes(), ",")); };
  std::map<std::string, at::Tensor> values(source.begin(), source.end());
  std::vector<std::string> differences;
  for (const auto& [name, t] : target) {
    const auto it = values.find(name);
    if (it == values.end()) differences.push_back("missing " + name);
    else if (it->second.sizes() != t.sizes())
      differences.push_back(fmt::format("{} has {}, expected {}", name, shape(it->second), shape(t)));
  }
  if (values.size() != source.size()) differences.push_back("a name occurs twice");
  std::map<std::string, at::Tensor> known(target.begin(), target.end());
  for (const auto& [name, t] : values)
    if (!known.count(name)) differences.push_back(fmt::format("unexpected {} {}", name, shape(t)));
  if (!differences.empty()) {
    const size_t count = differences.size();
    if (count > kMaxListed) differences.resize(kMaxListed);
    throw checkpoint_error(what, fmt::format("{} differs in {} places: {}", kind, count, fmt::join(differences, "; ")),
                           "the state belongs to another model or optimizer");
  }
  for (const auto& [name, t] : target) t.detach().copy_(values.at(name));
}

}  // namespace ups::optim
