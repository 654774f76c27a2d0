// The data of a stage as its losses see it: set, normaliser, device, and the tensors derived from them. States are normalised fields, or
// with latent.space ae the whitened latents of a frozen autoencoder.
#pragma once
#include <memory>
#include <optional>

#include "ups/data/dataset.h"
#include "ups/data/normalizer.h"
#include "ups/models/autoencoder.h"
#include "ups/models/field_model.h"
#include "ups/train/checkpoint.h"
#include "ups/train/stage.h"

namespace ups::stages {

struct FieldSpace {
  std::shared_ptr<data::Dataset> dataset;  // what training and validation see (data.train_frames)
  std::shared_ptr<data::Dataset> whole;    // all frames, for evaluation; the same object without train_frames
  data::Normalizer normalizer;
  at::Device device = at::kCPU;
  int64_t stride = 1;        // frames per prediction (training.time_stride)
  at::Tensor mean, std;      // [1, C, 1..] of the fields
  at::Tensor boundary;       // [1, K] one count per boundary kind over all sides, divided by the number of sides
  std::shared_ptr<models::FieldAutoencoder> autoencoder;  // null: states are normalised fields
  std::optional<train::Parent> encoded_by;  // its checkpoint
  at::Tensor delta_scale;    // [1, C, 1..]: delta_rms on the device
  std::vector<double> delta_rms;  // per channel of a state: RMS of z(t + stride) - z(t)
  bool params_vary = false;  // some PDE parameter differs between trajectories of the train split
  double persistence = 1;    // mean over train windows of |z(t + stride) - z(t)| / max(|z(t + stride)|, floor)

  const data::SetInfo& info() const { return dataset->info(); }
  size_t axes() const { return info().grid.size(); }
  // Of a state.
  int64_t channels() const;
  std::vector<int64_t> grid() const;
  at::Tensor encode(const at::Tensor& fields) const;  // normalised [B, C, X..] -> states
  at::Tensor decode(const at::Tensor& z) const;       // back
  at::Tensor physical(const at::Tensor& z) const;     // states -> physical units [B, C, X..]
};

// Opens, fits the normaliser and measures the one-step change over the train split.
std::unique_ptr<FieldSpace> open_field_space(const data::DataOptions& options, int64_t stride, at::Device device);

// From now on states are latents of `autoencoder`, which is frozen; the one-step change is measured again.
void enter_latent_space(FieldSpace& space, std::shared_ptr<models::FieldAutoencoder> autoencoder);
// All frames of a trajectory, normalised, on the device: [T, C, X..].
at::Tensor normalised_trajectory(FieldSpace& space, int64_t trajectory);

// The condition of a batch: dt, parameters, boundary.
models::Condition condition_of(const FieldSpace& space, const train::TensorBatch& batch);

// Per-sample norms over everything but the batch.
at::Tensor sample_norm(const at::Tensor& x);  // [B, ...] -> [B]
// mean over samples of |error| / max(|truth|, floor): floor keeps fields that have died out from ruling the loss.
at::Tensor relative_error(const at::Tensor& error, const at::Tensor& truth);

// Trajectories of a split held as tensors for validation: at most `limit` of them, evenly chosen.
struct HeldOut {
  at::Tensor fields;   // [V, T, C, X..] states; T counts strided frames
  at::Tensor coeff;    // [V, Cc, X..] or undefined
  at::Tensor params;   // [V, P] or undefined
  std::vector<int64_t> trajectory;
  int64_t first = 0;   // strided frame from which predictions are judged (initial_step - 1)
  models::Condition condition;
};
HeldOut hold_out(FieldSpace& space, data::Split split, int64_t limit, int64_t initial_step);

constexpr int64_t kValidationTrajectories = 24;  // the held-out set that picks the best weights while training
// t [N] with trailing axes of one, so that it broadcasts along the samples of like [N, ..].
at::Tensor along(const at::Tensor& t, const at::Tensor& like);

// Physical nRMSE: mean over samples and channels of |p - y| / |y|. p, y [B, C, X..] physical.
double physical_nrmse(const at::Tensor& p, const at::Tensor& y);

}  // namespace ups::stages
