#include "ups/models/autoencoder.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cassert>
#include <cmath>
#include <numbers>

#include "ups/models/layers.h"

namespace ups::models {
namespace {

constexpr double kClip = 5;             // latents stay below it
constexpr double kMemory = 0.01;        // of the running moments once as many batches were seen
constexpr double kVarianceBias = -5;    // log variance at the start
constexpr int64_t kPointWidth = 128;

Tensor soft_clip(const Tensor& z) { return z * at::rsqrt(1 + (z / kClip).square()); }

// Over the channels of every cell.
Tensor normalise_channels(const Tensor& x, const Tensor& gain, const Tensor& shift) {
  return at::layer_norm(x.movedim(1, -1), {x.size(1)}, gain, shift).movedim(-1, 1);
}

Tensor along_channels(const Tensor& values, const Tensor& like) {
  std::vector<int64_t> shape(static_cast<size_t>(like.dim()), 1);
  shape[1] = values.size(0);
  return values.view(shape);
}

}  // namespace

struct FieldAutoencoder::Block : Module {
  Block(int64_t width, const AutoencoderConfig& c, const std::string& key)
      : first(uniform_init(kernel_shape(width, width, 3, c.grid.size()), bound(width, c), c.seed, key + ".first"), c.periodic),
        second(uniform_init(kernel_shape(width, width, 3, c.grid.size()), 0.01 * bound(width, c), c.seed, key + ".second"), c.periodic) {
    gain = add_parameter("gain", at::ones({width}));
    shift = add_parameter("shift", at::zeros({width}));
    add_child("first", first);
    add_child("second", second);
  }
  static double bound(int64_t width, const AutoencoderConfig& c) {
    return 1.0 / std::sqrt(static_cast<double>(width) * std::pow(3.0, static_cast<double>(c.grid.size())));
  }
  Tensor operator()(const Tensor& x) const { return x + second(at::silu(first(normalise_channels(x, gain, shift)))); }
  Tensor gain, shift;
  GridConv first, second;
};

// One change of resolution with its residual blocks, at the coarse side when going down, at the fine side when going up.
struct FieldAutoencoder::Level : Module {
  Level(int64_t in, int64_t out, int64_t width, const AutoencoderConfig& c, const std::string& key)
      : change(identity_kernel(out, in, 3, c.grid.size(), c.seed, key + ".change"), c.periodic) {
    add_child("change", change);
    for (int64_t i = 0; i < c.blocks; ++i) {
      blocks.push_back(std::make_unique<Block>(width, c, key + ".block" + std::to_string(i)));
      add_child("block" + std::to_string(i), *blocks.back());
    }
  }
  Tensor refine(Tensor x) const {
    for (const auto& block : blocks) x = (*block)(x);
    return x;
  }
  GridConv change;
  std::vector<std::unique_ptr<Block>> blocks;
};

// MLP on [features, place within the coarse cell as sine and cosine of one period: the Nyquist frequency of the field's grid].
struct FieldAutoencoder::PointHead : Module {
  PointHead(int64_t features, const AutoencoderConfig& c)
      : first(features + 2 * static_cast<int64_t>(c.grid.size()), kPointWidth, c.seed, "points.first", Role::input, 1.0, 1.0),
        second(kPointWidth, kPointWidth, c.seed, "points.second", Role::hidden, 1.0, 1.0),
        last(kPointWidth, c.channels, c.seed, "points.last", Role::output) {
    add_child("first", first);
    add_child("second", second);
    add_child("last", last);
  }
  Tensor operator()(const Tensor& x) const { return last(at::gelu(second(at::gelu(first(x))))); }
  Linear first, second, last;
};

FieldAutoencoder::~FieldAutoencoder() = default;

FieldAutoencoder::FieldAutoencoder(AutoencoderConfig config) : config_(std::move(config)) {
  const auto& c = config_;
  const size_t axes = c.grid.size(), levels = c.widths.size() - 1;
  assert((axes == 1 || axes == 2) && c.periodic.size() == axes && c.widths.size() >= 2);
  const int64_t cells = int64_t{1} << axes;
  const auto identity = [&](int64_t out, int64_t in, int64_t taps, const std::string& key) {
    return identity_kernel(out, in, taps, axes, c.seed, key);
  };
  stem_ = std::make_unique<GridConv>(identity(c.widths[0], c.channels, 3, "stem"), c.periodic, Role::input);
  add_child("encoder.stem", *stem_);
  for (size_t l = 0; l < levels; ++l) {
    const std::string name = "encoder.down" + std::to_string(l);
    down_.push_back(std::make_unique<Level>(cells * c.widths[l], c.widths[l + 1], c.widths[l + 1], c, name));
    add_child(name, *down_.back());
  }
  to_latent_ = std::make_unique<GridConv>(identity(c.latent_dim, c.widths[levels], 1, "to_latent"), c.periodic, Role::output);
  add_child("encoder.to_latent", *to_latent_);
  if (c.variational) {
    to_variance_ = std::make_unique<GridConv>(at::zeros(kernel_shape(c.latent_dim, c.widths[levels], 1, axes)), c.periodic, Role::output);
    {
      const at::NoGradGuard no_grad;
      to_variance_->bias.fill_(kVarianceBias);
    }
    add_child("encoder.to_variance", *to_variance_);
  }
  from_latent_ = std::make_unique<GridConv>(identity(c.widths[levels], c.latent_dim, 1, "from_latent"), c.periodic, Role::input);
  add_child("decoder.from_latent", *from_latent_);
  for (size_t l = levels; l-- > 0;) {
    const std::string name = "decoder.up" + std::to_string(l);
    up_.push_back(std::make_unique<Level>(c.widths[l + 1], cells * c.widths[l], c.widths[l], c, name));
    add_child(name, *up_.back());
  }
  head_ = std::make_unique<GridConv>(identity(c.channels, c.widths[0], 3, "head"), c.periodic, Role::output);
  add_child("decoder.head", *head_);
  point_head_ = std::make_unique<PointHead>(c.widths[1], c);
  add_child("decoder.points", *point_head_);
  latent_mean_ = add_buffer("latent_mean", at::zeros({c.latent_dim}));
  latent_square_ = add_buffer("latent_square", at::ones({c.latent_dim}));
  seen_ = add_buffer("batches_seen", at::zeros({}));
}

std::vector<int64_t> FieldAutoencoder::latent_grid() const {
  std::vector<int64_t> out = config_.grid;
  for (int64_t& n : out) n >>= down_.size();
  return out;
}

FieldAutoencoder::Moments FieldAutoencoder::moments(const Tensor& x) const {
  Tensor t = (*stem_)(x);
  for (const auto& level : down_) t = level->refine(level->change(fold_cells(t)));
  Moments m;
  m.mean = soft_clip((*to_latent_)(t).to(at::kFloat));
  if (to_variance_) m.log_variance = (*to_variance_)(t).to(at::kFloat).clamp(-10, 5);
  return m;
}

FieldAutoencoder::Decoded FieldAutoencoder::decode_raw(const Tensor& z) const {
  Tensor t = (*from_latent_)(z);
  Decoded out;
  for (size_t l = 0; l < up_.size(); ++l) {
    if (l + 1 == up_.size()) out.features = t;
    t = up_[l]->refine(unfold_cells(up_[l]->change(t)));
  }
  out.field = (*head_)(t).to(at::kFloat);
  return out;
}

Tensor FieldAutoencoder::points(const Tensor& features, const Tensor& positions) const {
  const int64_t b = features.size(0), q = positions.size(1), c = features.size(1);
  const int64_t axes = static_cast<int64_t>(config_.grid.size());
  // Coarse cell k covers the fine cells 2 k and 2 k + 1: its centre is at 2 k + 1/2.
  const Tensor place = (positions - 0.5) / 2, below = at::floor(place), fraction = place - below;
  const Tensor flat = features.flatten(2);
  Tensor value;
  for (int64_t corner = 0; corner < (int64_t{1} << axes); ++corner) {
    Tensor index, weight;
    for (int64_t a = 0; a < axes; ++a) {
      const int64_t n = features.size(2 + a), step = (corner >> a) & 1;
      const Tensor raw = below.select(2, a) + static_cast<double>(step);
      const Tensor inside = config_.periodic[static_cast<size_t>(a)] ? raw - static_cast<double>(n) * at::floor(raw / static_cast<double>(n))
                                                                     : raw.clamp(0, static_cast<double>(n - 1));
      const Tensor w = step == 1 ? fraction.select(2, a) : 1 - fraction.select(2, a);
      index = index.defined() ? index * static_cast<double>(n) + inside : inside;
      weight = weight.defined() ? weight * w : w;
    }
    const Tensor taken = flat.gather(2, index.to(at::kLong).unsqueeze(1).expand({b, c, q})) * weight.unsqueeze(1);
    value = value.defined() ? value + taken : taken;
  }
  const Tensor angle = 2 * std::numbers::pi * fraction;
  return (*point_head_)(at::cat({value.transpose(1, 2), at::sin(angle), at::cos(angle)}, 2)).to(at::kFloat);
}

void FieldAutoencoder::observe(const Tensor& z) {
  const at::NoGradGuard no_grad;
  const Tensor values = z.detach().transpose(0, 1).flatten(1).to(at::kFloat);
  const Tensor mean = values.mean(1), square = values.square().mean(1);
  const Tensor fine = at::isfinite(square).all();
  const Tensor share = at::where(fine, at::clamp_min(1 / (seen_ + 1), kMemory), at::zeros_like(seen_));
  latent_mean_.add_(share * (at::nan_to_num(mean, 0.0, 0.0, 0.0) - latent_mean_));
  latent_square_.add_(share * (at::nan_to_num(square, 0.0, 0.0, 0.0) - latent_square_));
  seen_.add_(fine.to(seen_.scalar_type()));
}

Tensor FieldAutoencoder::encode(const Tensor& x) const {
  const Tensor z = moments(x).mean, mean = along_channels(latent_mean_, z);
  return (z - mean) * at::rsqrt((along_channels(latent_square_, z) - mean.square()).clamp_min(1e-8));
}

Tensor FieldAutoencoder::decode(const Tensor& z) const {
  const Tensor mean = along_channels(latent_mean_, z);
  return decode_raw(mean + z * at::sqrt((along_channels(latent_square_, z) - mean.square()).clamp_min(1e-8))).field;
}

}  // namespace ups::models
