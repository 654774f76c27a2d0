#include "ups/stages/autoencoder_adversaries.h"

#include <ATen/ATen.h>

#include "ups/core/rng.h"
#include "ups/optim/presets.h"

namespace ups::stages {
namespace {

constexpr int64_t kCorrelationWidth = 256;
const std::vector<int64_t> kPatchWidths{32, 64, 128};

// While it lives a module's parameters are constants.
class Constant {
 public:
  explicit Constant(models::Module& module) : module_(module) { module_.set_requires_grad(false); }
  ~Constant() { module_.set_requires_grad(true); }
  Constant(const Constant&) = delete;
  Constant& operator=(const Constant&) = delete;

 private:
  models::Module& module_;
};

at::Tensor vectors(const at::Tensor& z) { return z.flatten(2).transpose(1, 2).flatten(0, 1); }  // [B, D, ..] -> [B cells, D]

}  // namespace

AutoencoderAdversaries::AutoencoderAdversaries(const DiscriminatorOptions& o, const FieldSpace& space, int64_t latent_dim, uint64_t seed)
    : hinge_(o.loss == "hinge"), optimizer_(o.optimizer.value_or(optim::presets::discriminator())) {
  const auto& info = space.info();
  std::vector<bool> periodic;
  for (size_t a = 0; a < info.grid.size(); ++a) periodic.push_back(info.periodic(a));
  if (o.patch) patch_ = std::make_unique<models::PatchDiscriminator>(info.channels, periodic, kPatchWidths, sub_seed(seed, "init.patch_discriminator"));
  if (o.tc) tc_ = std::make_unique<models::TotalCorrelationDiscriminator>(latent_dim, kCorrelationWidth, sub_seed(seed, "init.tc_discriminator"));
  if (patch_) patch_->to(space.device);
  if (tc_) tc_->to(space.device);
}

std::vector<train::Adversary> AutoencoderAdversaries::players() {
  std::vector<train::Adversary> out;
  if (patch_) out.push_back({"patch", patch_.get(), optimizer_});
  if (tc_) out.push_back({"total_correlation", tc_.get(), optimizer_});
  return out;
}

std::vector<std::pair<std::string, at::Tensor>> AutoencoderAdversaries::state() const {
  std::vector<std::pair<std::string, at::Tensor>> out;
  if (patch_)
    for (const auto& [name, t] : patch_->state()) out.emplace_back("patch." + name, t);
  if (tc_)
    for (const auto& [name, t] : tc_->state()) out.emplace_back("total_correlation." + name, t);
  return out;
}

at::Tensor AutoencoderAdversaries::realism(const at::Tensor& field) {
  const Constant constant(*patch_);
  const at::Tensor logits = (*patch_)(field, false);
  return (hinge_ ? -logits : at::softplus(-logits)).mean(1);
}

at::Tensor AutoencoderAdversaries::correlation(const at::Tensor& z) {
  const Constant constant(*tc_);
  return at::relu((*tc_)(vectors(z)).view({z.size(0), -1}).mean(1));
}

at::Tensor AutoencoderAdversaries::patch_loss(const at::Tensor& field, const at::Tensor& truth) {
  const at::Tensor real = (*patch_)(truth, true), fake = (*patch_)(field.detach(), false);
  return hinge_ ? at::relu(1 - real).mean() + at::relu(1 + fake).mean() : at::softplus(-real).mean() + at::softplus(fake).mean();
}

at::Tensor AutoencoderAdversaries::correlation_loss(const at::Tensor& z, const at::Tensor& order) {
  const at::Tensor joint = vectors(z.detach()), independent = joint.gather(0, order.t());
  return (at::softplus(-(*tc_)(joint)).mean() + at::softplus((*tc_)(independent)).mean()) / 2;
}

}  // namespace ups::stages
