#include "ups/stages/autoencoder_stage.h"

#include <ATen/ATen.h>

#include <cmath>

#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/models/field_operator.h"
#include "ups/stages/field_losses.h"
#include "ups/stages/loss_gradient.h"

namespace ups::stages {
namespace {

// What the host decides about a micro-batch.
enum Variant : int64_t { kAdversarial = 1, kTrainAdversaries = 2, kCalibrate = 4 };

constexpr int64_t kPoints = 256;             // random cells per sample for the point decoder
constexpr double kCalibrated = 0.2;          // of the first epoch
constexpr double kMaxAdversarial = 10;       // times the reconstruction's gradient
const char* const kDefaultGoals =
    R"({"reconstruction": {"group": "fit"}, "gradient": {"group": "fit"}, "spectrum": {"group": "spectrum"}, "points": {"group": "points"}})";

}  // namespace

std::unique_ptr<models::FieldAutoencoder> build_autoencoder(const FieldSpace& space, const models::LatentOptions& o, bool variational, uint64_t seed) {
  const auto& info = space.info();
  models::AutoencoderConfig c;
  c.channels = info.channels;
  c.grid = info.grid;
  for (size_t a = 0; a < info.grid.size(); ++a) c.periodic.push_back(info.periodic(a));
  c.widths = o.widths.value_or(c.grid.size() == 1 ? std::vector<int64_t>{24, 40, 56, 64} : std::vector<int64_t>{24, 48, 96});
  c.blocks = o.blocks;
  c.latent_dim = o.dim;
  c.variational = variational;
  c.seed = sub_seed(seed, "init.autoencoder");
  const int64_t unit = int64_t{1} << (c.widths.size() - 1);
  for (int64_t n : c.grid)
    if (n % unit != 0 || n / unit < 3)
      throw usage_error("latent.widths", std::to_string(c.widths.size()) + " widths halve the grid " + std::to_string(c.widths.size() - 1) + " times, an axis has " + std::to_string(n) + " cells",
                        "give fewer widths: at least 3 cells must remain, and no half ones");
  auto model = std::make_unique<models::FieldAutoencoder>(std::move(c));
  model->to(space.device);
  return model;
}

FieldAutoencoderStage::FieldAutoencoderStage(FieldSpace& space, std::unique_ptr<models::FieldAutoencoder> model, AutoencoderStage options, int64_t batches, uint64_t seed)
    : space_(space),
      model_(std::move(model)),
      options_(std::move(options)),
      adversaries_(options_.discriminator, space, model_->config().latent_dim, seed),
      batches_(batches),
      held_out_(hold_out(space, data::Split::val, kValidationTrajectories, 1)) {
  if (options_.loss == "lbo")
    barrier_.emplace(parse_goals(options_.lbo.goals.empty() ? kDefaultGoals : options_.lbo.goals, "stages.autoencoder.lbo.goals", term_names()),
                     options_.lbo.reduce, space.device);
}

std::vector<std::string> FieldAutoencoderStage::term_names() const {
  std::vector<std::string> names{"reconstruction", "points", "gradient", "spectrum", "covariance"};
  if (model_->config().variational) names.push_back("kl");
  if (adversaries_.patch()) names.push_back("realism");
  if (adversaries_.total_correlation()) names.push_back("total_correlation");
  return names;
}

std::vector<std::pair<std::string, at::Tensor>> FieldAutoencoderStage::extra_state() {
  auto out = adversaries_.state();
  if (barrier_) out.emplace_back("barrier.largest", barrier_->largest());
  return out;
}

train::Prepared FieldAutoencoderStage::prepare(const train::TensorBatch& batch, const train::StepContext& context) const {
  train::Prepared p;
  const auto& c = model_->config();
  const auto like = batch.fields.options();
  const int64_t b = batch.size(), axes = static_cast<int64_t>(c.grid.size());
  std::vector<int64_t> latent{b, c.latent_dim};
  int64_t cells = 1;
  for (int64_t n : model_->latent_grid()) {
    latent.push_back(n);
    cells *= n;
  }
  const auto& d = options_.discriminator;
  const bool adversarial = (d.patch || d.tc) && context.progress >= d.start_frac;
  if (adversarial) p.variant |= kAdversarial;
  if (adversarial && context.batch % d.every == 0) p.variant |= kTrainAdversaries;
  if (barrier_ && context.epoch == 0 && static_cast<double>(context.batch) < std::max(1.0, kCalibrated * static_cast<double>(batches_))) p.variant |= kCalibrate;
  if (c.variational) p.tensors["sample"] = models::noise_like(at::empty(latent, like), mix_seed(context.noise_key, 1));
  if (options_.latent_noise > 0) p.tensors["noise"] = models::noise_like(at::empty(latent, like), mix_seed(context.noise_key, 2));
  std::vector<at::Tensor> axis;
  for (int64_t a = 0; a < axes; ++a) {
    const double n = static_cast<double>(c.grid[static_cast<size_t>(a)]);
    axis.push_back(at::floor(n * models::uniform_like({b, kPoints}, mix_seed(context.noise_key, 3 + static_cast<uint64_t>(a)), like)).clamp_max(n - 1));
  }
  p.tensors["positions"] = at::stack(axis, 2);
  if (d.tc && (p.variant & kTrainAdversaries))
    p.tensors["order"] = models::uniform_like({c.latent_dim, b * cells}, mix_seed(context.noise_key, 7), like).argsort(1, /*descending=*/false);
  return p;
}

at::Tensor FieldAutoencoderStage::point_error(const at::Tensor& features, const at::Tensor& positions, const at::Tensor& x) const {
  at::Tensor index;
  for (int64_t a = 0; a < positions.size(2); ++a)
    index = index.defined() ? index * static_cast<double>(x.size(2 + a)) + positions.select(2, a) : positions.select(2, a);
  const at::Tensor truth = x.flatten(2).gather(2, index.to(at::kLong).unsqueeze(1).expand({x.size(0), x.size(1), index.size(1)}));
  return variance_scaled_error(model_->points(features, positions).transpose(1, 2), truth);
}

LossTerms FieldAutoencoderStage::terms(const at::Tensor& x, const models::FieldAutoencoder::Moments& moments, const at::Tensor& z,
                                  const models::FieldAutoencoder::Decoded& decoded, const train::Prepared& prepared) {
  LossTerms out;
  out.emplace_back("reconstruction", variance_scaled_error(decoded.field, x));
  out.emplace_back("points", point_error(decoded.features, prepared.tensors.at("positions"), x));
  out.emplace_back("gradient", gradient_error(decoded.field, x));
  out.emplace_back("spectrum", log_spectrum_error(decoded.field, x));
  const at::Tensor channels = z.transpose(0, 1).flatten(1), centred = channels - channels.mean(1, true);  // [D, B cells]
  const at::Tensor unit = centred / (centred.square().mean(1, true) + 1e-6).sqrt();
  const at::Tensor correlation = at::mm(unit, unit.t()) / static_cast<double>(unit.size(1));
  const int64_t pairs = std::max<int64_t>(1, correlation.size(0) * (correlation.size(0) - 1));
  out.emplace_back("covariance", (at::triu(correlation, 1).square().sum() * (2.0 / static_cast<double>(pairs))).expand({x.size(0)}));
  if (moments.log_variance.defined())
    out.emplace_back("kl", 0.5 * (moments.mean.square() + moments.log_variance.exp() - 1 - moments.log_variance).flatten(1).sum(1));
  const bool adversarial = (prepared.variant & kAdversarial) != 0;
  // Before their start the discriminators' terms are 0: nothing to pay.
  if (adversaries_.patch()) out.emplace_back("realism", adversarial ? adversaries_.realism(decoded.field) : at::zeros({x.size(0)}, x.options()));
  if (adversaries_.total_correlation()) out.emplace_back("total_correlation", adversarial ? adversaries_.correlation(z) : at::zeros({x.size(0)}, x.options()));
  return out;
}

at::Tensor FieldAutoencoderStage::weighted_sum(const LossTerms& terms, const at::Tensor& field) const {
  const auto& w = options_.weights;
  const auto value = [&](const std::string& name) {
    for (const auto& [term, t] : terms)
      if (term == name) return t.mean();
    return at::Tensor();
  };
  const at::Tensor reconstruction = value("reconstruction");
  at::Tensor total = reconstruction + w.points * value("points") + w.gradient * value("gradient") + w.spectrum * value("spectrum");
  if (w.covariance > 0) total = total + w.covariance * value("covariance");
  if (const at::Tensor kl = value("kl"); kl.defined()) total = total + w.kl * kl;
  if (const at::Tensor tc = value("total_correlation"); tc.defined()) total = total + w.total_correlation * tc;
  if (const at::Tensor realism = value("realism"); realism.defined() && realism.requires_grad()) {
    // As strong at the decoder's output as the reconstruction (VQGAN takes the last layer's weights instead).
    const at::Tensor ratio = loss_gradient(reconstruction, field).norm() / (loss_gradient(realism, field).norm() + 1e-4);
    total = total + w.realism * ratio.clamp(0, kMaxAdversarial) * realism;
  }
  return total;
}

train::Loss FieldAutoencoderStage::loss_of(const train::TensorBatch& batch, const train::Prepared& prepared) {
  const at::Tensor x = batch.fields.select(1, 0);
  const auto moments = model_->moments(x);
  at::Tensor z = moments.mean;
  if (moments.log_variance.defined()) z = z + (0.5 * moments.log_variance).exp() * prepared.tensors.at("sample");
  model_->observe(moments.mean);
  const auto noise = prepared.tensors.find("noise");
  const auto decoded = model_->decode_raw(noise == prepared.tensors.end() ? z : z + options_.latent_noise * noise->second);
  const LossTerms values = terms(x, moments, z, decoded, prepared);
  train::Loss out;
  out.total = barrier_ ? (*barrier_)(values, (prepared.variant & kCalibrate) != 0) : weighted_sum(values, decoded.field);
  for (const auto& [name, t] : values) out.parts.emplace_back(name, t.detach().mean());
  if (barrier_)
    for (const auto& part : barrier_->groups()) out.parts.push_back(part);
  if ((prepared.variant & kTrainAdversaries) == 0) return out;
  const auto pay = [&](const char* name, const at::Tensor& loss) {
    out.parts.emplace_back(name, loss.detach());
    out.total = out.total + loss;
  };
  if (adversaries_.patch()) pay("patch_discriminator", adversaries_.patch_loss(decoded.field, x));
  if (adversaries_.total_correlation()) pay("tc_discriminator", adversaries_.correlation_loss(z, prepared.tensors.at("order")));
  return out;
}

train::Validation FieldAutoencoderStage::validate() {
  double nrmse = 0, vrmse = 0, points = 0, n = 0;
  const at::Tensor x = held_out_.fields.flatten(0, 1);
  constexpr int64_t kChunk = 64;
  for (int64_t first = 0; first < x.size(0); first += kChunk) {
    const at::Tensor truth = x.narrow(0, first, std::min(kChunk, x.size(0) - first));
    const auto decoded = model_->decode_raw(model_->moments(truth).mean);
    const double count = static_cast<double>(truth.size(0));
    nrmse += count * physical_nrmse(decoded.field * space_.std + space_.mean, truth * space_.std + space_.mean);
    vrmse += count * variance_scaled_error(decoded.field, truth).mean().item<double>();
    std::vector<at::Tensor> axis;
    for (size_t a = 0; a < model_->config().grid.size(); ++a) {
      const double cells = static_cast<double>(model_->config().grid[a]);
      axis.push_back(at::floor(cells * models::uniform_like({truth.size(0), kPoints}, mix_seed(23, a), truth.options())).clamp_max(cells - 1));
    }
    points += count * point_error(decoded.features, at::stack(axis, 2), truth).mean().item<double>();
    n += count;
  }
  const double score = nrmse / n;
  return {std::isfinite(score) ? score : 1e300, {{"nrmse", score}, {"vrmse", vrmse / n}, {"points_vrmse", points / n}}};
}

}  // namespace ups::stages
