// The networks an autoencoder is trained against: a patch discriminator on fields, a total-correlation discriminator on latents. Each has
// its own optimizer; all share one backward pass and one gradient scaler (train::Adversary).
#pragma once
#include <memory>

#include "ups/models/discriminators.h"
#include "ups/stages/field_space.h"
#include "ups/stages/options.h"

namespace ups::stages {

class AutoencoderAdversaries {
 public:
  AutoencoderAdversaries(const DiscriminatorOptions& options, const FieldSpace& space, int64_t latent_dim, uint64_t seed);
  bool patch() const { return patch_ != nullptr; }
  bool total_correlation() const { return tc_ != nullptr; }
  std::vector<train::Adversary> players();
  std::vector<std::pair<std::string, at::Tensor>> state() const;

  // What the autoencoder pays per sample [B]: hinge -logit, bce softplus(-logit), means over patches; and the estimated total correlation
  // of z [B, D, ..], means over cells, not below 0. Gradients reach the fields and latents only.
  at::Tensor realism(const at::Tensor& field);
  at::Tensor correlation(const at::Tensor& z);
  // What the discriminators pay, 0-dim; the autoencoder gets no gradient. order [D, N]: for every channel a permutation of the N = B * cells
  // latent vectors.
  at::Tensor patch_loss(const at::Tensor& field, const at::Tensor& truth);
  at::Tensor correlation_loss(const at::Tensor& z, const at::Tensor& order);

 private:
  bool hinge_;
  optim::OptimizerOptions optimizer_;
  std::unique_ptr<models::PatchDiscriminator> patch_;
  std::unique_ptr<models::TotalCorrelationDiscriminator> tc_;
};

}  // namespace ups::stages
