// The optimizer as the trainer sees it: a step under a device mask, rates per group, state by parameter name.
//
// One training step (optim.md 5), each line honoured by a type of this folder:
//   unscale once, global norm before clipping, finite flag    grad_ops.h  unscale_and_norm, or read_gradients
//   clip                                                      grad_clip.h  clip_, or multiply_on_read
//   lr = schedule(updates)                                    schedule.h  lr_at  -> Optimizer::set_lrs
//   optimizer, EMA under found_inf                            Optimizer::step, ema.h
//   scale                                                     grad_scaler.h
#pragma once
#include <ATen/core/Tensor.h>

#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ups/optim/options.h"
#include "ups/optim/param.h"

namespace ups::optim {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct GroupInfo {
  std::string name;       // "muon", "adamw", "adam", "sgd"
  double base_lr = 0;     // schedules start from this
  double weight_decay = 0;
  std::vector<std::string> params;
  double unit_rms = 1;  // RMS of an update at learning rate 1 without decay that the rule aims at; 0 = it aims at none (SGD)
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;

  // One update with the gradients now in the parameters. found_inf: undefined, or a 0-dim fp32 flag on the parameters' device; with 1
  // every weight and every state tensor keeps its bits. A parameter whose gradient is undefined is left alone altogether.
  virtual void step(const at::Tensor& found_inf = {}) = 0;
  virtual std::vector<GroupInfo> groups() const = 0;
  // One rate per group, in the order of groups().
  virtual void set_lrs(std::span<const double> lrs) = 0;
  virtual std::vector<double> lrs() const = 0;
  // What the next steps multiply every gradient by as they read it, 1 at the start: loss scale and clipping without a pass of their own
  // (grad_clip.h, multiply_on_read). At least 1e-30 in size, so that it is an ordinary float.
  virtual void set_grad_factor(double factor) { grad_factor_ = factor; }
  // Handles, not copies: "<param>/exp_avg", "/exp_avg_sq", "/max_exp_avg_sq", "/step", "/momentum_buffer",
  // "/second_momentum_buffer".
  virtual NamedTensors state() const = 0;
  // The optimizer of one line per family, for the start-up summary.
  virtual std::string summary() const = 0;

  // Copies values in by name. Exit 4 when a name or shape differs, up to 20 differences listed. `what` names the source.
  void load_state(const NamedTensors& values, const std::string& what);
  // Gradients become undefined.
  void zero_grad();
  // Every parameter that this optimizer updates, in the order it was given.
  virtual const ParamList& params() const = 0;

 protected:
  double grad_factor_ = 1;
};

// Throws Error (exit 2) for impossible options or patterns (validate(), routing.h), Error (exit 1) for tensors that no family can take.
std::unique_ptr<Optimizer> make_optimizer(const OptimizerOptions& options, const ParamList& params);

}  // namespace ups::optim
