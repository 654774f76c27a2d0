// AdamW (decoupled decay) and Adam (L2), with amsgrad. State per parameter: step (fp32 0-dim), exp_avg, exp_avg_sq, max_exp_avg_sq.
#pragma once
#include "ups/optim/host_kernels.h"
#include "ups/optim/host_pieces.h"
#include "ups/optim/optimizer.h"

namespace ups::optim {

struct AdamOptions {
  double lr = 1e-3, beta1 = 0.9, beta2 = 0.999, eps = 1e-8, weight_decay = 0;
  bool decoupled = true;  // AdamW; false = Adam
  bool amsgrad = false;
  bool cautious = false;  // AdamW: decay only where exp_avg and the weight do not differ in sign
};

class Adam final : public Optimizer {
 public:
  // Parameters: fp32 or fp64 (complex ones as pairs), dense. Throws Error (exit 1) for anything else.
  Adam(const AdamOptions& options, ParamList params);
  void step(const at::Tensor& found_inf) override;
  std::vector<GroupInfo> groups() const override;
  void set_lrs(std::span<const double> lrs) override;
  std::vector<double> lrs() const override { return {lr_}; }
  NamedTensors state() const override;
  std::string summary() const override;
  const ParamList& params() const override { return params_; }
  const AdamOptions& options() const { return options_; }

 private:
  struct Slot {
    at::Tensor w, step, m, v, vmax;  // w: real view of the parameter; vmax undefined without amsgrad
    bool host = false;
  };
  struct Pointers {  // of this step
    const void* grad;  // nullptr: the parameter is left alone
    void *w, *m, *v, *vmax;
    host::AdamScalars scalars;
  };
  void step_host();
  void step_device(const std::vector<size_t>& slots, const at::Tensor& found_inf);
  AdamOptions options_;
  double lr_;
  ParamList params_;
  std::vector<Slot> slots_;
  std::vector<at::Tensor> grads_;  // of this step
  HostPieces pieces_;  // of the parameters on the host
  std::vector<Pointers> pointers_;
};

}  // namespace ups::optim
