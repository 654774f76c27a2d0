#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/autoencoder.h"
#include "ups/models/discriminators.h"
#include "ups/models/field_operator.h"

using namespace ups;
using at::Tensor;

namespace {

models::AutoencoderConfig config_1d() {
  models::AutoencoderConfig c;
  c.channels = 1;
  c.grid = {32};
  c.periodic = {true};
  c.widths = {4, 6, 8};
  c.latent_dim = 4;
  return c;
}

models::AutoencoderConfig config_2d() {
  auto c = config_1d();
  c.channels = 2;
  c.grid = {16, 24};
  c.periodic = {true, false};
  c.widths = {6, 12, 32};
  c.latent_dim = 32;
  return c;
}

Tensor field(const models::AutoencoderConfig& c, uint64_t key = 1) {
  std::vector<int64_t> shape{3, c.channels};
  shape.insert(shape.end(), c.grid.begin(), c.grid.end());
  return models::noise_like(at::empty(shape), key);
}

}  // namespace

TEST_CASE("cells fold into channels and back") {
  for (const Tensor& x : {at::arange(48.0).view({2, 3, 8}), at::arange(96.0).view({1, 2, 8, 6})}) {
    const Tensor folded = models::fold_cells(x);
    CHECK(folded.size(1) == x.size(1) * (x.dim() == 3 ? 2 : 4));
    CHECK(at::equal(models::unfold_cells(folded), x));
  }
}

TEST_CASE("a latent with as many numbers as the field starts near lossless") {
  for (const auto& c : {config_1d(), config_2d()}) {
    const models::FieldAutoencoder model(c);
    const Tensor x = 0.5 * field(c), z = model.moments(x).mean;
    CHECK(z.size(1) == c.latent_dim);
    CHECK(z.sizes().slice(2) == at::IntArrayRef(model.latent_grid()));
    // What is lost is the soft clip, z (1 - z^2 / 50 ..).
    const double error = ((model.decode_raw(z).field - x).norm() / x.norm()).item<double>();
    CHECK(error < 0.05);
    CHECK(error > 0);
  }
}

TEST_CASE("latents of a periodic field move with it") {
  const auto c = config_1d();
  const models::FieldAutoencoder model(c);
  const Tensor x = field(c);
  CHECK(at::allclose(model.moments(x.roll({4}, {2})).mean, model.moments(x).mean.roll({1}, {2}), 1e-5, 1e-5));
}

TEST_CASE("whitening: mean 0 and variance 1 of what was observed, undone by decode, blind to NaN") {
  const auto c = config_1d();
  models::FieldAutoencoder model(c);
  const Tensor x = field(c), z = model.moments(x).mean;
  model.observe(z);
  const Tensor white = model.encode(x), flat = white.transpose(0, 1).flatten(1);
  CHECK(at::allclose(flat.mean(1), at::zeros({4}), 0, 1e-5));
  CHECK(at::allclose(flat.square().mean(1), at::ones({4}), 1e-3));
  CHECK(at::allclose(model.decode(white), model.decode_raw(z).field, 1e-4, 1e-4));
  Tensor poisoned = z.clone();
  poisoned[0][0][0] = NAN;
  model.observe(poisoned);
  CHECK(at::equal(model.encode(x), white));
}

TEST_CASE("the point decoder is continuous and periodic") {
  for (const auto& c : {config_1d(), config_2d()}) {
    const models::FieldAutoencoder model(c);
    const Tensor features = model.decode_raw(model.moments(field(c)).mean).features;
    const int64_t axes = static_cast<int64_t>(c.grid.size());
    const Tensor at0 = 5.3 * at::ones({3, 1, axes});
    const Tensor value = model.points(features, at0);
    CHECK(value.sizes() == at::IntArrayRef({3, 1, c.channels}));
    CHECK(at::allclose(model.points(features, at0 + 1e-4), value, 0, 1e-2));
    Tensor around = at0.clone();
    around.select(2, 0) += static_cast<double>(c.grid[0]);
    CHECK(at::allclose(model.points(features, around), value, 1e-3, 1e-3));
    // Across the border between two coarse cells.
    const Tensor edge = 6.5 * at::ones({3, 1, axes});
    CHECK(at::allclose(model.points(features, edge - 1e-4), model.points(features, edge + 1e-4), 0, 1e-2));
  }
}

TEST_CASE("the patch discriminator's weights have a largest singular value of one") {
  models::PatchDiscriminator d(1, {true}, {8, 8}, 3);
  const Tensor x = field(config_1d());
  for (int i = 0; i < 50; ++i) (void)d(x, true);
  // Linear below its LeakyReLUs: doubling one layer's weights changes nothing.
  const Tensor before = d(x, false);
  {
    const at::NoGradGuard no_grad;
    for (auto& p : d.parameters())
      if (p.name == "layer1.weight") p.tensor.mul_(2);
  }
  CHECK(at::allclose(d(x, false), before, 1e-4, 1e-4));
  CHECK(before.size(0) == 3);
}

TEST_CASE("a variational autoencoder gives a bounded log variance") {
  auto c = config_1d();
  c.variational = true;
  const models::FieldAutoencoder model(c);
  const auto m = model.moments(100 * field(c));
  CHECK(m.log_variance.max().item<double>() <= 5);
  CHECK(m.log_variance.min().item<double>() >= -10);
  CHECK(m.mean.abs().max().item<double>() < 5);
}
