// Several optimizers as one: Muon for matrices beside AdamW for the rest.
#pragma once
#include "ups/optim/optimizer.h"

namespace ups::optim {

class Hybrid final : public Optimizer {
 public:
  // parts: in the order of groups(); params: all parameters in the order they were given; summary: the routing line.
  Hybrid(std::vector<std::unique_ptr<Optimizer>> parts, ParamList params, std::string routing);
  void step(const at::Tensor& found_inf) override;
  std::vector<GroupInfo> groups() const override;
  void set_lrs(std::span<const double> lrs) override;
  std::vector<double> lrs() const override;
  void set_grad_factor(double factor) override;
  NamedTensors state() const override;
  std::string summary() const override;
  const ParamList& params() const override { return params_; }
  const std::vector<std::unique_ptr<Optimizer>>& parts() const { return parts_; }

 private:
  std::vector<std::unique_ptr<Optimizer>> parts_;
  ParamList params_;
  std::string routing_;
};

}  // namespace ups::optim
