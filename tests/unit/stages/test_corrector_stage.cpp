// The corrector stage's loss: mean mode and objective from one call of the network are what two calls give.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "../run/eval_fakes.h"
#include "ups/stages/corrector_stage.h"

using namespace ups;
using at::Tensor;

namespace {

constexpr int64_t kChannels = 2, kCells = 32;

// Depends on everything it is told, row by row.
class TellTale : public models::FieldModel {
 public:
  TellTale() : w_(add_parameter("w", 0.3 * models::noise_like(at::empty({kChannels, 3 * kChannels}), 8))) {}
  Tensor forward(const Tensor& x, const models::Condition& c) override {
    const Tensor told = (c.tau + 0.5 * c.step + 0.1 * c.dt).view({-1, 1, 1});
    return at::tanh(at::einsum("oi,bix->box", {w_, x}) + told) * (1 + told);
  }

 private:
  Tensor w_;
};

class Still : public models::FieldModel {
 public:
  Tensor forward(const Tensor& x, const models::Condition&) override { return at::zeros_like(x); }
};

}  // namespace

TEST_CASE("mean mode and objective in one call are the two losses, for every objective") {
  stages::FieldSpace space;
  space.dataset = std::make_unique<test::MovingSines>();
  space.normalizer = data::Normalizer::fit(*space.dataset, "none");
  space.delta_rms = {0.7, 1.3};
  space.mean = models::channel_scale({0, 0}, 1);
  space.std = models::channel_scale({1, 1}, 1);
  space.delta_scale = models::channel_scale(space.delta_rms, 1);
  space.boundary = at::zeros({1, 7});
  const models::FieldOperator op(std::make_unique<Still>(), space.delta_rms, 1);
  train::TensorBatch batch;
  batch.fields = models::noise_like(at::empty({10, 2, kChannels, kCells}), 4);
  batch.dt = at::linspace(0, 1, 10);
  train::StepContext context;
  context.noise_key = 99;
  for (const std::string name : {"flow", "edm", "refiner", "crps"}) {
    INFO(name);
    const auto& objective = stages::residual_objective(name);
    stages::CorrectorOptions options;
    options.null_token_share = 0.3;
    stages::CorrectorStage stage({space, op, objective, options, 1, 0.5}, std::make_unique<models::Corrector>(std::make_unique<TellTale>(), std::vector<double>{2, 3}, space.delta_rms, 1));
    const auto prepared = stage.prepare(batch, context);
    const auto loss = stage.loss_of(batch, prepared);
    REQUIRE(loss.parts.size() == 2);

    const auto& model = stage.model();
    const auto rows = stages::residual_rows(space, op, model, options, batch, prepared), mean = rows.part(0, 3), rest = rows.part(3, 7);
    const Tensor error = model.scale() * (model.mean_residual(mean.z, mean.z_op, mean.condition) - mean.r);
    CHECK(loss.parts[0].second.item<double>() == Approx(stages::relative_error(error, mean.target).item<double>() / 0.5).epsilon(1e-5));

    const stages::Question q = objective.ask(rest, prepared);
    auto seen = rest;
    for (int64_t copy = 1; copy < q.copies; ++copy) seen = seen.followed_by(rest);
    Tensor rows_loss = objective.loss(rest, prepared, model.network(q.x, seen.z, seen.z_op, seen.condition, q.tau, at::zeros_like(q.tau)));
    const Tensor moved = ((rest.z_op - rest.z) / space.delta_scale).square().flatten(1).mean(1);
    if (objective.squared()) rows_loss = rows_loss * 0.25 / (0.25 + moved);
    CHECK(loss.parts[1].first == name);
    CHECK(loss.parts[1].second.item<double>() == Approx(rows_loss.mean().item<double>()).epsilon(1e-5));
    CHECK(loss.total.item<double>() == Approx(0.3 * loss.parts[0].second.item<double>() + 0.7 * loss.parts[1].second.item<double>()).epsilon(1e-5));
  }
}
