#include "ups/optim/hybrid.h"

#include <cassert>
#include <utility>

namespace ups::optim {

Hybrid::Hybrid(std::vector<std::unique_ptr<Optimizer>> parts, ParamList params, std::string routing)
    : parts_(std::move(parts)), params_(std::move(params)), routing_(std::move(routing)) {}

void Hybrid::step(const at::Tensor& found_inf) {
  for (auto& p : parts_) p->step(found_inf);
}

std::vector<GroupInfo> Hybrid::groups() const {
  std::vector<GroupInfo> out;
  for (const auto& p : parts_)
    for (auto& g : p->groups()) out.push_back(std::move(g));
  return out;
}

void Hybrid::set_lrs(std::span<const double> lrs) {
  size_t used = 0;
  for (auto& p : parts_) {
    const size_t n = p->lrs().size();
    assert(used + n <= lrs.size());
    p->set_lrs(lrs.subspan(used, n));
    used += n;
  }
  assert(used == lrs.size());
}

void Hybrid::set_grad_factor(double factor) {
  for (auto& p : parts_) p->set_grad_factor(factor);
}

std::vector<double> Hybrid::lrs() const {
  std::vector<double> out;
  for (const auto& p : parts_)
    for (const double lr : p->lrs()) out.push_back(lr);
  return out;
}

NamedTensors Hybrid::state() const {
  NamedTensors out;
  for (const auto& p : parts_)
    for (auto& entry : p->state()) out.push_back(std::move(entry));
  return out;
}

std::string Hybrid::summary() const {
  std::string out = routing_;
  for (const auto& p : parts_) out += "\n" + p->summary();
  return out;
}

}  // namespace ups::optim
