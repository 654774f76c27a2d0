// Dynamic loss scaling for fp16: torch.amp.GradScaler's state machine without its host synchronisation.
//
//   scaled = scaler.scale(loss); backward;  READY
//   pass = scaler.unscale(key, params)      READY -> UNSCALED   divides the gradients, finds non-finite ones, norm
//   optimizer.step(scaler.step(key))        UNSCALED -> STEPPED returns the flag that masks the step
//   scaler.update()                         all -> READY        scale from the largest flag
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>

#include "ups/optim/grad_ops.h"

namespace ups::optim {

struct GradScalerOptions {
  double init_scale = 65536;
  double growth_factor = 2, backoff_factor = 0.5;
  int64_t growth_interval = 2000;
  double min_scale = 1;  // floor of back-off; 0 = none, as Python
  bool enabled = true;   // off: scale 1, only the finite flag
};

class GradScaler {
 public:
  explicit GradScaler(GradScalerOptions options = GradScalerOptions());

  at::Tensor scale(const at::Tensor& loss);
  // One call per optimizer and update. `optimizer` is any stable key. Call-order mistakes throw std::logic_error.
  GradPass unscale(const std::string& optimizer, const ParamList& params);
  // The same without writing gradients in CPU memory: multiply_on_read(optimizer, pass.pending * ..) has to follow.
  GradPass read(const std::string& optimizer, const ParamList& params);
  // The flag for Optimizer::step. Needs unscale() first.
  at::Tensor step(const std::string& optimizer);
  // The same, unscaling first where that has not been done.
  at::Tensor step_or_unscale(const std::string& optimizer, const ParamList& params);
  void update();
  // Flag of the update in progress: MAX over the optimizers seen so far. Undefined before any unscale.
  at::Tensor found_inf() const;

  at::Tensor scale_tensor() const { return scale_; }  // 0-dim fp32; undefined while no tensor has been seen and nothing loaded
  bool enabled() const { return options_.enabled; }

  // Python's five keys. Valid after update(); reading it synchronises with the device.
  struct State {
    double scale = 65536, growth_factor = 2, backoff_factor = 0.5;
    int64_t growth_interval = 2000, growth_tracker = 0;
  };
  State state() const;
  void load_state(const State& state);

 private:
  enum class Stage { unscaled, stepped };
  struct Entry {
    Stage stage;
    at::Tensor found_inf;
  };
  void init(at::Device device);
  GradPass pass(const std::string& optimizer, const ParamList& params, bool only_read);
  GradScalerOptions options_;
  int64_t init_tracker_ = 0;
  at::Tensor scale_, tracker_, inv_scale_;
  std::map<std::string, Entry> entries_;
};

}  // namespace ups::optim
