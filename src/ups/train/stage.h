// What a stage gives to the one trainer loop. What differs between stages lives in prepare() and loss_of(); everything else is the trainer's.
#pragma once
#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "ups/models/module.h"
#include "ups/optim/options.h"

namespace ups::train {

// A micro-batch as tensors. Fields and coefficients are normalised.
struct TensorBatch {
  at::Tensor fields;      // [B, F, C, X(, Y)]
  at::Tensor coeff;       // [B, Cc, X(, Y)] or undefined
  at::Tensor params;      // [B, P] or undefined
  at::Tensor dt;          // [B]
  std::vector<int64_t> trajectory, first_frame;
  int64_t size() const { return fields.size(0); }
};

// Where batches come from: a pure function of (epoch, index).
class BatchSource {
 public:
  virtual ~BatchSource() = default;
  virtual int64_t batches() const = 0;
  virtual TensorBatch get(int64_t epoch, int64_t index) = 0;
};

// Everything a loss may depend on besides the batch, so that a resumed run repeats it.
struct StepContext {
  int64_t epoch = 0, batch = 0;      // position in the data
  double progress = 0;               // 0..1 of the planned updates
  uint64_t noise_key = 0;            // unique per micro-batch: seeds every random draw of the loss
};

// What the host decides about one micro-batch before its loss: random draws, symmetries, which computation runs.
struct Prepared {
  std::map<std::string, at::Tensor> tensors;
  int64_t variant = 0;
};

struct Loss {
  at::Tensor total;                                         // scalar, fp32
  std::vector<std::pair<std::string, at::Tensor>> parts;    // detached scalars to log
};

struct Validation {
  double score = 0;                                   // lower is better; the best weights minimise it
  std::vector<std::pair<std::string, double>> values; // logged as S/val_<name>
};

// A network trained against the stage's own by the same backward pass (a discriminator): its loss is a term of Loss::total that reaches
// only its parameters. An update that gives it no gradient leaves it alone. Its weights belong to extra_state().
struct Adversary {
  std::string name;
  models::Module* module = nullptr;
  optim::OptimizerOptions optimizer;  // at a constant rate, without clipping, under the scaler of the stage
};

class Stage {
 public:
  virtual ~Stage() = default;
  virtual std::string key() const = 0;        // config key: operator, diff_residual, consistency_distill, steady_prior
  virtual std::string log_name() const { return key(); }  // metrics prefix: diffusion_residual for diff_residual
  virtual models::Module& module() = 0;       // what is trained
  virtual Prepared prepare(const TensorBatch& /*batch*/, const StepContext& /*context*/) const { return {}; }
  // A CUDA graph repeats the kernels of one call for the next ones (step_graph.h): two calls differ in the values of tensors only, or in
  // shapes or variant. Nothing is drawn or read on the host; the tensors of the stage may change in value, never in address.
  virtual Loss loss_of(const TensorBatch& batch, const Prepared& prepared) = 0;
  Loss loss(const TensorBatch& batch, const StepContext& context) { return loss_of(batch, prepare(batch, context)); }
  // With the weights that would be exported (the average's when there is one). Called without gradients.
  virtual Validation validate() = 0;
  // After an update, for stages with targets of their own (the distillation's EMA student). found_inf undefined: the update was made;
  // else a 0-dim flag on the device: 1 = it was not, and nothing may change.
  virtual void after_update(const at::Tensor& /*found_inf*/) {}
  virtual std::vector<Adversary> adversaries() { return {}; }
  // State beyond module and optimizer that a resume needs, by name; handles, not copies.
  virtual std::vector<std::pair<std::string, at::Tensor>> extra_state() { return {}; }
  // Stop when the best score is at or below this (consistency_distill.target_loss); 0 = never.
  virtual double target() const { return 0; }
  // Micro-batches per update are the settings' accum_steps unless the stage ignores them (reference consistency loop).
  virtual bool accumulates() const { return true; }
  // Reference semantics of the consistency loop: the last average is exported, not the best one's.
  virtual bool exports_last_average() const { return false; }
};

}  // namespace ups::train
