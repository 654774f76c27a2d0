// Stage `autoencoder`: a latent space for the later stages. Loss `sum` adds weighted terms, `lbo` is the barrier loss on the same terms.
//
//   reconstruction   VRMSE of the grid decoder             points      VRMSE of the point decoder at random cells
//   gradient         L1 of finite differences              spectrum    L1 of the log energy spectrum
//   kl               of N(mean, variance) against N(0, 1), summed over the latent (vae)
//   covariance       squared correlations between latent channels, mean
//   realism          the patch discriminator's judgement, weight relative to the reconstruction's gradient at the output (loss sum)
//   total_correlation  of the latent channels, estimated by its discriminator
#pragma once
#include "ups/stages/autoencoder_adversaries.h"
#include "ups/stages/barrier_loss.h"

namespace ups::stages {

// The network that the options ask for, on the device of the space. Exit 2 for sizes that do not fit the grid.
std::unique_ptr<models::FieldAutoencoder> build_autoencoder(const FieldSpace& space, const models::LatentOptions& latent, bool variational, uint64_t seed);

class FieldAutoencoderStage : public train::Stage {
 public:
  // space: normalised fields. batches: micro-batches per epoch (the barrier calibrates during the first fifth of epoch 1).
  FieldAutoencoderStage(FieldSpace& space, std::unique_ptr<models::FieldAutoencoder> model, AutoencoderStage options, int64_t batches, uint64_t seed);
  std::string key() const override { return "autoencoder"; }
  models::Module& module() override { return *model_; }
  train::Prepared prepare(const train::TensorBatch& batch, const train::StepContext& context) const override;
  train::Loss loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) override;
  train::Validation validate() override;
  std::vector<train::Adversary> adversaries() override { return adversaries_.players(); }
  std::vector<std::pair<std::string, at::Tensor>> extra_state() override;

 private:
  std::vector<std::string> term_names() const;
  LossTerms terms(const at::Tensor& x, const models::FieldAutoencoder::Moments& moments, const at::Tensor& z, const models::FieldAutoencoder::Decoded& decoded,
                  const train::Prepared& prepared);
  at::Tensor weighted_sum(const LossTerms& terms, const at::Tensor& field) const;
  at::Tensor point_error(const at::Tensor& features, const at::Tensor& positions, const at::Tensor& x) const;  // [B]

  FieldSpace& space_;
  std::unique_ptr<models::FieldAutoencoder> model_;
  AutoencoderStage options_;
  AutoencoderAdversaries adversaries_;
  std::optional<BarrierLoss> barrier_;
  int64_t batches_;
  HeldOut held_out_;
};

}  // namespace ups::stages
