// The attractor stage where the best velocity is known: white noise of unit and of 1,000-fold size.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "../run/eval_fakes.h"
#include "ups/stages/attractor_stage.h"

using namespace ups;
using at::Tensor;

namespace {

// E[noise - y | x] for y and noise ~ N(0, 1): (2 tau - 1) x / D with D = (1 - tau)^2 + tau^2.
class WhiteNoiseVelocity : public models::FieldModel {
 public:
  WhiteNoiseVelocity() { add_parameter("unused", at::zeros({1})); }
  Tensor forward(const Tensor& x, const models::Condition& condition) override {
    REQUIRE(x.size(1) == 2);  // no coefficients
    const Tensor t = condition.tau.view({-1, 1, 1});
    return (2 * t - 1) * x / ((1 - t).square() + t.square());
  }
};

std::unique_ptr<stages::FieldSpace> noise_space() {
  auto s = std::make_unique<stages::FieldSpace>();
  s->dataset = std::make_shared<test::RandomFrames>();
  s->normalizer = data::Normalizer::fit(*s->dataset, "none");
  s->boundary = at::zeros({1, 7});
  return s;
}

}  // namespace

TEST_CASE("attractor stage: scale, loss and draws of the known velocity", "[stages]") {
  const auto space = noise_space();
  const auto statistics = stages::attractor_statistics(*space);
  CHECK(statistics.rms[0] == Approx(1).epsilon(0.02));
  CHECK(statistics.rms[1] == Approx(1000).epsilon(0.02));
  CHECK(statistics.mean_field.sizes() == at::IntArrayRef({1, 2, 16}));
  CHECK(statistics.mean_field[0][1].std().item<double>() == Approx(0).margin(1e-4));  // the same in every cell
  stages::AttractorStage stage(*space, std::make_unique<models::SteadyField>(std::make_unique<WhiteNoiseVelocity>(), statistics.mean_field, statistics.rms, 1));

  train::TensorBatch batch;
  batch.fields = at::randn({600, 1, 2, 16}) * at::tensor({1.0F, 1000.0F}).view({1, 1, 2, 1});
  batch.dt = at::ones({600});
  train::StepContext context;
  context.noise_key = 5;
  const auto prepared = stage.prepare(batch, context);
  const Tensor t = at::sigmoid(prepared.tensors.at("tau_noise"));
  const double least = (1 / ((1 - t).square() + t.square())).mean().item<double>();  // what is left: the variance of noise - y given x
  CHECK(stage.loss_of(batch, prepared).total.item<double>() == Approx(least).epsilon(0.05));
  context.noise_key = 6;
  CHECK_FALSE(at::equal(stage.prepare(batch, context).tensors.at("noise"), prepared.tensors.at("noise")));
  const double score = stage.validate().score;
  CHECK(score == Approx(least).epsilon(0.1));
  CHECK(stage.validate().score == score);  // the same noise every time

  const Tensor draws = stage.model().sample(at::randn({600, 2, 16}), {}, {}, 16, true);
  CHECK(draws.select(1, 0).std().item<double>() == Approx(1).epsilon(0.05));
  CHECK(draws.select(1, 1).std().item<double>() == Approx(1000).epsilon(0.05));
}
