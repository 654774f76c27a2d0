// The operator stage with a context of several frames: losses, validation, and the recipe of configs/opponents/fno_pdebench.yaml.
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
// after test_common.h: the fakes check their own use
#include "../run/eval_fakes.h"
#include "ups/optim/schedule.h"
#include "ups/run/stage_factory.h"
#include "ups/stages/operator_stage.h"

using namespace ups;
using at::Tensor;
using Values = std::vector<double>;

namespace {

constexpr int64_t kContext = 3, kChannels = 2, kCells = 32, kFrames = 9, kInputs = kContext * kChannels;

// tanh(W seen) in every cell.
class CellNet : public models::FieldModel {
 public:
  explicit CellNet(const Tensor& w) : w_(add_parameter("w", w.clone())) {}
  Tensor forward(const Tensor& x, const models::Condition&) override { return at::tanh(at::einsum("oi,bix->box", {w_, x})); }

 private:
  Tensor w_;
};

// The oldest frame it sees, moved as far as the newest is ahead of it.
class OldestFrame : public models::FieldModel {
 public:
  explicit OldestFrame(int64_t shift) : shift_(shift) {}
  Tensor forward(const Tensor& x, const models::Condition&) override { return x.narrow(1, 0, kChannels).roll(shift_, 2); }

 private:
  int64_t shift_;
};

stages::FieldSpace space_of(std::unique_ptr<test::FakeDataset> data) {
  stages::FieldSpace s;
  s.dataset = std::move(data);
  s.normalizer = data::Normalizer::fit(*s.dataset, "none");
  s.delta_rms = {0.7, 1.3};  // must cancel where the network gives the state
  s.mean = models::channel_scale({0, 0}, 1);
  s.std = models::channel_scale({1, 1}, 1);
  s.delta_scale = models::channel_scale(s.delta_rms, 1);
  s.boundary = at::zeros({1, 7});
  return s;
}

stages::FieldOperatorStage stage_of(stages::FieldSpace& space, std::unique_ptr<models::FieldModel> net) {
  stages::OperatorLossOptions o;
  o.rollout.mode = "unroll";
  o.rollout.steps = 0;
  o.rollout.start_frac = 0;
  o.context = kContext;
  o.squared_error = true;
  auto model = std::make_unique<models::FieldOperator>(std::move(net), space.delta_rms, 1, true);
  return {space, std::move(model), o, kContext};
}

// Sum over the frames after the context of the mean squared error of the rollout. w [C, K C], u [B, T, C, X].
double plain_loss(const Values& w, const Values& u, int64_t batch) {
  const auto frame = static_cast<size_t>(kChannels * kCells), frames = static_cast<size_t>(kFrames), context = static_cast<size_t>(kContext);
  double loss = 0;
  for (size_t b = 0; b < static_cast<size_t>(batch); ++b) {
    Values seen(u.begin() + static_cast<std::ptrdiff_t>(b * frames * frame), u.begin() + static_cast<std::ptrdiff_t>((b * frames + context) * frame));
    for (size_t t = context; t < frames; ++t) {
      const size_t oldest = (t - context) * frame;
      for (size_t c = 0; c < static_cast<size_t>(kChannels); ++c)
        for (size_t x = 0; x < static_cast<size_t>(kCells); ++x) {
          double sum = 0;
          for (size_t i = 0; i < static_cast<size_t>(kInputs); ++i) sum += w[c * static_cast<size_t>(kInputs) + i] * seen[oldest + i * static_cast<size_t>(kCells) + x];
          seen.push_back(std::tanh(sum));
          const double e = seen.back() - u[b * frames * frame + seen.size() - 1];
          loss += e * e / static_cast<double>(batch * kChannels * kCells);
        }
    }
  }
  return loss;
}

Values values(const Tensor& t) {
  const Tensor flat = t.detach().contiguous();
  return {flat.data_ptr<double>(), flat.data_ptr<double>() + flat.numel()};
}

}  // namespace

TEST_CASE("objective mse over a whole rollout equals a plain program, loss and gradients") {
  auto space = space_of(std::make_unique<test::MovingSines>());
  const Tensor w = 0.4 * models::noise_like(at::empty({kChannels, kInputs}), 3).to(at::kDouble);
  auto stage = stage_of(space, std::make_unique<CellNet>(w));
  stage.module().to(at::kDouble);
  CHECK(stage.window() == kFrames);
  train::TensorBatch batch;
  batch.fields = models::noise_like(at::empty({4, kFrames, kChannels, kCells}), 4).to(at::kDouble);
  const Tensor loss = stage.loss(batch, {}).total;
  const Values u = values(batch.fields), weights = values(w);
  CHECK(loss.item<double>() == Approx(plain_loss(weights, u, 4)).epsilon(1e-12));

  loss.backward();
  const Values gradient = values(stage.module().parameters().at(0).tensor.grad());
  const double h = 1e-5;
  for (size_t i = 0; i < weights.size(); ++i) {
    INFO(i);
    Values more = weights, less = weights;
    more[i] += h;
    less[i] -= h;
    CHECK(gradient[i] == Approx((plain_loss(more, u, 4) - plain_loss(less, u, 4)) / (2 * h)).epsilon(1e-6).margin(1e-8));
  }
}

TEST_CASE("validation hands over the context, oldest frame first, true frames for one step and its own in the rollout") {
  auto space = space_of(std::make_unique<test::MovingSines>());
  // A wave that moves t cells: the relative distance of channel c is 2 sin(pi (c + 1) t / 32).
  const auto apart = [](int t) { return std::sin(test::kPi * t / 32) + std::sin(2 * test::kPi * t / 32); };
  const auto copied = stage_of(space, std::make_unique<OldestFrame>(0)).validate();
  CHECK(copied.values.at(1).second == Approx(apart(3)).epsilon(1e-5));
  CHECK(copied.score == Approx((apart(3) + apart(6)) / 2).epsilon(1e-5));  // the first three frames lag 3, then 6
  const auto moved = stage_of(space, std::make_unique<OldestFrame>(3)).validate();
  CHECK(moved.score < 1e-5);
  CHECK(moved.values.at(1).second < 1e-5);
}

TEST_CASE("configs/opponents/fno_pdebench.yaml is PDEBench's recipe") {
  struct Burgers : test::MovingSines {
    Burgers() { info_.channels = 1, info_.grid = {256}, info_.channel_names = {"u"}; }
    void read(int64_t, int64_t, int64_t, std::span<float> out) override { std::fill(out.begin(), out.end(), 1.0F); }
  };
  const std::string folder = std::string(UPS_SOURCE_DIR) + "/configs/";
  const auto config = [&](const std::vector<std::string>& sets) {
    run::Overrides o;
    o.sets = sets;
    return run::load_run_config({folder + "burgers_nu0.01.yaml", folder + "opponents/fno_pdebench.yaml"}, o).config;
  };
  const auto parameters = [&](const std::vector<std::string>& sets) {
    auto space = space_of(std::make_unique<Burgers>());
    space.delta_rms = {1};
    return run::build_operator(config(sets), space, 17)->parameter_count();
  };
  CHECK(parameters({}) == 43137);
  CHECK(parameters({"operator.fno.width=64", "operator.fno.modes=16"}) == 550145);

  const auto c = config({});
  const auto s = run::resolve_stage(c, "operator");
  CHECK(c.data.normalization == "none");
  CHECK((s.optimizer.name == "adam" && s.optimizer.lr == 1e-3 && s.optimizer.weight_decay == 1e-4));
  CHECK((s.batch_size == 50 && s.epochs == 500 && s.clip == train::StageSettings::Clip::off && !s.ema_decay));
  // Halved every 100 epochs of 16 updates, and at the same shares of a budget.
  REQUIRE(s.scheduler.counts_steps());
  for (const int64_t epoch : {int64_t{1}, int64_t{16}, int64_t{200}}) {
    const auto rate = [&](int64_t i) { return optim::lr_at(s.scheduler, 1e-3, i, 500 * epoch); };
    CHECK(rate(100 * epoch - 1) == 1e-3);
    CHECK(rate(100 * epoch) == 5e-4);
    CHECK(rate(500 * epoch - 1) == 6.25e-5);
  }
}
