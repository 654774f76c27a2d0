// SGD with momentum, Nesterov, dampening and L2 decay. State: momentum_buffer (if momentum), step (if dampening: the first step differs).
#pragma once
#include "ups/optim/host_pieces.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/updates.h"

namespace ups::optim {

struct SgdOptions {
  double lr = 1e-3;
  SgdRule rule;
};

class Sgd final : public Optimizer {
 public:
  Sgd(const SgdOptions& options, ParamList params);
  void step(const at::Tensor& found_inf) override;
  std::vector<GroupInfo> groups() const override;
  void set_lrs(std::span<const double> lrs) override;
  std::vector<double> lrs() const override { return {lr_}; }
  NamedTensors state() const override;
  std::string summary() const override;
  const ParamList& params() const override { return params_; }
  const SgdOptions& options() const { return options_; }

 private:
  struct Slot {
    at::Tensor w, buffer, step;
    bool host = false;
  };
  void step_host();
  void step_aten(size_t slot, const at::Tensor& found_inf);
  SgdOptions options_;
  double lr_;
  ParamList params_;
  std::vector<Slot> slots_;
  std::vector<at::Tensor> grads_;  // of this step
  HostPieces pieces_;              // of the parameters on the host
};

}  // namespace ups::optim
