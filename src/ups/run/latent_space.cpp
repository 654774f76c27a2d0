#include "ups/run/latent_space.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <fmt/format.h>

#include <cmath>

#include "ups/stages/autoencoder_stage.h"

namespace ups::run {
namespace {

constexpr int64_t kFloorTrajectories = 64;

// Energy of fields [B, C, X(, Y)] in wavenumbers at or above two thirds of the largest along some axis.
double upper_energy(const at::Tensor& fields) {
  std::vector<int64_t> axes;
  for (int64_t a = 2; a < fields.dim(); ++a) axes.push_back(a);
  const at::Tensor energy = at::fft_fftn(fields, c10::nullopt, axes).abs().square();
  at::Tensor upper;
  for (int64_t a : axes) {
    const int64_t n = fields.size(a);
    std::vector<int64_t> shape(static_cast<size_t>(fields.dim()), 1);
    shape[static_cast<size_t>(a)] = n;
    const at::Tensor k = (at::fft_fftfreq(n, 1.0 / static_cast<double>(n), at::TensorOptions().dtype(at::kDouble).device(fields.device()))).abs();
    const at::Tensor high = (k >= static_cast<double>(n) / 3).view(shape);
    upper = upper.defined() ? upper.logical_or(high) : high;
  }
  return (energy * upper.to(energy.scalar_type())).sum().item<double>();
}

}  // namespace

bool works_on_latents(const RunConfig& c, const std::string& stage) {
  return latent_space(c) == "ae" && stage != "autoencoder" && stage != "steady_prior";
}

std::unique_ptr<models::FieldAutoencoder> load_autoencoder(const RunConfig& c, const stages::FieldSpace& space, const TrainedStage& trained) {
  auto model = stages::build_autoencoder(space, c.latent, c.stages.autoencoder.kind == "vae", effective_seed(c));
  model->load_state(trained.weights(), trained.path);
  return model;
}

void use_autoencoder(const RunConfig& c, stages::FieldSpace& space, train::CheckpointStore& store, const std::string& needed_by) {
  const TrainedStage trained = require_trained(store, "autoencoder", needed_by);
  require_same_space(trained, space);
  stages::enter_latent_space(space, load_autoencoder(c, space, trained));
  space.encoded_by = trained.lineage;
}

LatentFloor latent_floor(stages::FieldSpace& space, const models::FieldOperator& op, data::Split split, int64_t context, int64_t initial_step) {
  const at::NoGradGuard no_grad;
  const auto held_out = stages::hold_out(space, split, kFloorTrajectories, std::max(context, initial_step));
  double ae = 0, one_step = 0, energy = 0, upper_ae = 0, upper_op = 0, upper = 0;
  for (int64_t t = std::max(context, held_out.first + 1); t < held_out.fields.size(1); ++t) {
    std::vector<at::Tensor> frames;
    for (int64_t trajectory : held_out.trajectory) frames.push_back(stages::normalised_trajectory(space, trajectory).select(0, t * space.stride));
    const at::Tensor truth = (at::stack(frames) * space.std + space.mean).to(at::kDouble);
    const at::Tensor lost = space.physical(held_out.fields.select(1, t)).to(at::kDouble) - truth;
    const at::Tensor wrong = space.physical(op.step(models::seen_frames(held_out.fields, t - 1, context), held_out.condition)).to(at::kDouble) - truth;
    ae += lost.square().sum().item<double>();
    one_step += wrong.square().sum().item<double>();
    energy += truth.square().sum().item<double>();
    upper_ae += upper_energy(lost);
    upper_op += upper_energy(wrong);
    upper += upper_energy(truth);
  }
  const auto ratio = [](double error, double whole) { return std::sqrt(error / std::max(whole, 1e-300)); };
  return {ratio(ae, energy), ratio(one_step, energy), ratio(upper_ae, upper), ratio(upper_op, upper)};
}

std::string LatentFloor::text() const {
  const auto times = [](double a, double b) { return a / std::max(b, 1e-300); };
  return fmt::format("autoencoder: loses {:.3g} (nRMSE), {:.2f}x the operator's one-step error {:.3g} (at most {}); in the upper third of the wavenumbers "
                     "{:.2f}x (at most {}): {}",
                     autoencoder, times(autoencoder, operator_error), operator_error, kLimit, times(upper_autoencoder, upper_operator), kUpperLimit,
                     holds() ? "the latent space does not limit the operator"
                             : "the latent space limits the operator: raise latent.dim, train the autoencoder longer, or use latent.space: patch");
}

}  // namespace ups::run
