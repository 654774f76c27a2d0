// training.compile on the fake device: a recorded step gives the bits of the step without graphs, whatever changes between two updates.
// On a CUDA device (UPS_TEST_DEVICE=cuda) the same with its graphs, up to the order of sums.
#include <ATen/ATen.h>

#include <catch2/catch.hpp>

#include "device_training.h"
#include "fake_graph.h"
#include "ups/models/field_operator.h"
#include "ups/train/trainer.h"

using namespace ups;
using test::CountedRecorder;

namespace {

class Line : public models::Module {
 public:
  Line() : slope(add_parameter("slope", at::full({3}, 0.5, at::kFloat))), offset(add_parameter("offset", at::zeros({1}, at::kFloat))) {}
  at::Tensor slope, offset;
};

// y = slope x + offset with a little noise; everything that may differ between two updates can be switched on.
struct ToyStage : train::Stage {
  bool reads_on_host = false, draws_late = false, counts_calls = false;
  double changes_at = 2;  // progress from which the loss is another one
  int64_t calls = 0;
  Line line;
  std::string key() const override { return "operator"; }
  models::Module& module() override { return line; }
  train::Validation validate() override { return {line.slope.detach().to(at::kCPU).sum().item<double>(), {}}; }
  train::Prepared prepare(const train::TensorBatch& b, const train::StepContext& c) const override {
    return {{{"noise", models::noise_like(b.dt, c.noise_key)}}, c.progress >= changes_at ? 1 : 0};
  }
  train::Loss loss_of(const train::TensorBatch& b, const train::Prepared& p) override {
    calls += 1;
    const at::Tensor x = b.fields.select(1, 0), y = b.fields.select(1, 1);
    at::Tensor error = (x * line.slope).sum(1) + line.offset + 0.01 * p.tensors.at("noise") - y.sum(1);
    if (draws_late) error = error + 0.01 * models::noise_like(error, 5);
    if (counts_calls) error = error * static_cast<double>(calls);
    const at::Tensor total = p.variant == 1 ? error.abs().mean() : error.square().mean();
    if (reads_on_host && total.item<double>() < 0) return {};
    return {total, {}};
  }
};

// Seven batches per epoch, the last one short; the fourth overflows fp16-scaled gradients when asked to.
struct ToyBatches : train::BatchSource {
  at::Device device;
  bool overflow;
  ToyBatches(at::Device d, bool o) : device(d), overflow(o) {}
  int64_t batches() const override { return 7; }
  train::TensorBatch get(int64_t epoch, int64_t index) override {
    const int64_t n = index == 6 ? 3 : 5;
    at::Tensor x = models::noise_like(at::empty({n, 2, 3}), static_cast<uint64_t>(100 * epoch + index));
    if (overflow && index == 3) x = x * 1e18;
    return {x.to(device), {}, {}, at::ones({n}).to(device), {}, {}};
  }
};

struct Toy {
  ToyStage stage;
  train::StageSettings settings;
  std::shared_ptr<CountedRecorder> recorder = std::make_shared<CountedRecorder>(test::recorder_for(test::device_under_test()));
  bool overflow = false;
  int64_t move_weights_after = -1;  // updates
  Toy() {
    settings.stage = "operator";
    settings.epochs = 6;
    settings.optimizer.lr = 0.02;
    settings.ema_decay = 0.9;
    settings.clip = train::StageSettings::Clip::fixed;
    settings.compile_warmup = 3;
  }
  // Every tensor that lasts, the loss scale and the number of skipped updates.
  std::vector<at::Tensor> train(bool graphs) {
    const at::Device device = test::device_under_test();
    stage.module().to(device);
    ToyBatches batches(device, overflow);
    train::Hooks hooks;
    if (graphs) hooks.graph_recorder = recorder;
    std::vector<at::Tensor> out;
    hooks.checkpoint = [&](const train::Snapshot& s) {
      out.clear();
      for (const auto* list : {&s.model, &s.ema, &s.optim})
        for (const auto& [name, t] : *list) out.push_back(t.detach().to(at::kCPU).clone());
      out.push_back(at::full({}, s.state.scale, at::kDouble));
      out.push_back(at::full({}, static_cast<double>(s.state.skipped), at::kDouble));
    };
    hooks.metrics = [&](const io::JsonLine& line) {
      if (line.text().find("epoch_time_sec") == std::string::npos) records += line.text() + "\n";
    };
    hooks.stop_here = [&](const train::RunState& s) {
      if (s.attempts == move_weights_after)
        for (auto& p : stage.module().parameters()) p.tensor.set_data(p.tensor.detach().clone());
      return false;
    };
    train::Trainer trainer(stage, batches, settings, device, hooks);
    (void)trainer.run();
    return out;
  }
  std::string records;  // of updates and skips: losses, norms, rates
};

bool exact() { return test::device_under_test() == test::fake_device(); }

bool equal(const std::vector<at::Tensor>& a, const std::vector<at::Tensor>& b) {
  if (a.empty() || a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (exact() ? !at::equal(a[i], b[i]) : !at::allclose(a[i], b[i], 1e-3, 1e-5)) return false;
  return true;
}

// Trains one toy with graphs and one without, both set up the same way.
template <class Setup>
std::pair<bool, std::shared_ptr<CountedRecorder>> same_as_eager(Setup setup) {
  Toy graphed, eager;
  setup(graphed);
  setup(eager);
  const bool same = equal(graphed.train(true), eager.train(false));
  const bool same_records = !eager.records.empty() && (!exact() || graphed.records == eager.records);
  return {same && same_records, graphed.recorder};
}

}  // namespace

TEST_CASE("a recorded step gives the bits of the step without graphs, for every stage") {
  const std::string key = GENERATE(as<std::string>{}, "operator", "diff_residual", "consistency_distill", "steady_prior");
  const std::string optimizer = GENERATE(as<std::string>{}, "adamw", "muon_hybrid");
  CAPTURE(key, optimizer);
  test::TrainOn what{test::device_under_test(), key, {"optimizer.name=" + optimizer, "stages.operator.rollout.mode=noise"}};
  if (optimizer == "adamw" && key == "diff_residual") what.sets.push_back("diffusion.objective=refiner");
  if (optimizer == "adamw" && key == "consistency_distill") what.sets.push_back("stages.consistency_distill.objective=direct");
  what.updates = 16;
  const test::Trained eager = test::train_on(what);
  const auto recorder = std::make_shared<CountedRecorder>(test::recorder_for(what.device));
  what.recorder = recorder;
  const test::Trained graphed = test::train_on(what);
  CHECK(equal(graphed.weights, eager.weights));
  CHECK(recorder->rehearsals >= 3);
  CHECK(recorder->captures >= 1);
  CHECK(recorder->replays >= 4);
  INFO(graphed.trace);
  CHECK(graphed.after.syncs == graphed.before.syncs);
  CHECK(graphed.after.to_host == graphed.before.to_host);
  CHECK(graphed.after.to_device == graphed.before.to_device);
}

TEST_CASE("one graph per signature, after its rehearsals") {
  const auto [same, recorder] = same_as_eager([](Toy&) {});
  CHECK(same);
  // Six epochs of six full batches and a short one: two signatures.
  CHECK(recorder->captures == 2);
  CHECK(recorder->rehearsals == 2 * 3);
  CHECK(recorder->replays == 6 * 7 - 2 * 3);
}

TEST_CASE("accumulated micro-batches: the first writes gradients, the later ones add") {
  const auto [same, recorder] = same_as_eager([](Toy& t) { t.settings.accum_steps = 3; });
  CHECK(same);
  // Groups of 3 + 3 + 1 micro-batches: first and later full ones, and the short batch alone.
  CHECK(recorder->captures == 3);
  CHECK(recorder->replays == 6 * 7 - 3 * 3);
}

TEST_CASE("the loss scale is read by the graph, not recorded in it") {
  const auto [same, recorder] = same_as_eager([](Toy& t) {
    t.settings.amp = true;
    t.settings.amp_dtype = "float16";
    t.overflow = true;
  });
  CHECK(same);
  CHECK(recorder->replays > 20);
  Toy toy;
  toy.settings.amp = true;
  toy.settings.amp_dtype = "float16";
  toy.overflow = true;
  const auto state = toy.train(true);
  CHECK(state[state.size() - 1].item<double>() == 6);  // skipped, one per epoch
  CHECK(state[state.size() - 2].item<double>() == 65536.0 / 64);
}

TEST_CASE("another loss of the stage is another graph") {
  const auto [same, recorder] = same_as_eager([](Toy& t) { t.stage.changes_at = 0.5; });
  CHECK(same);
  CHECK(recorder->captures == 2);  // the short batch does not come often enough in either half
}

TEST_CASE("weights at another address discard the graphs") {
  const auto [same, recorder] = same_as_eager([](Toy& t) { t.move_weights_after = 14; });
  CHECK(same);
  CHECK(recorder->captures == 3);
}

TEST_CASE("a step that cannot be recorded runs without graphs") {
  SECTION("it waits for the device") {
    const auto [same, recorder] = same_as_eager([](Toy& t) { t.stage.reads_on_host = true; });
    CHECK(same);
    CHECK(recorder->captures == 1);
    CHECK(recorder->replays == 0);
  }
  SECTION("it draws random numbers") {
    const auto [same, recorder] = same_as_eager([](Toy& t) { t.stage.draws_late = true; });
    CHECK(same);
    CHECK(recorder->replays == 0);
  }
}

TEST_CASE("the stand-in repeats the numbers it recorded, as a graph does") {
  const auto [same, recorder] = same_as_eager([](Toy& t) { t.stage.counts_calls = true; });
  CHECK_FALSE(same);
  CHECK(recorder->replays > 20);
}
