// The reference's own four stage loops through the one trainer: epoch records and final weights (golden README 9 and 10).
#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include <map>
#include <nlohmann/json.hpp>

#include "golden_file.h"
#include "test_common.h"
#include "ups/stages/reference_stages.h"
#include "ups/train/trainer.h"
#include "ups_bundle.h"

using namespace ups;
using at::Tensor;
using Named = std::vector<std::pair<std::string, Tensor>>;
namespace ref = ups::models::reference;

namespace {

class RecordedBatches : public train::BatchSource {
 public:
  explicit RecordedBatches(const test::Bundle& b) {
    for (int64_t i = 0; b.has("batch" + std::to_string(i) + "/z0"); ++i) {
      const std::string name = "batch" + std::to_string(i);
      train::TensorBatch batch;
      batch.fields = at::stack({b.tensors.at(name + "/z0"), b.tensors.at(name + "/z1")}, 1);
      batches_.push_back(std::move(batch));
    }
  }
  int64_t batches() const override { return static_cast<int64_t>(batches_.size()); }
  train::TensorBatch get(int64_t, int64_t index) override { return batches_[static_cast<size_t>(index)]; }

 private:
  std::vector<train::TensorBatch> batches_;
};

// tau/STAGE/NNN in consumption order, one recorded tensor per drawn batch; rows of [chunks, n] are handed out one by one.
stages::TauDraw recorded_taus(const test::Bundle& b, const std::string& stage) {
  auto rows = std::make_shared<std::vector<Tensor>>();
  for (int i = 0;; ++i) {
    char name[64];
    std::snprintf(name, sizeof name, "tau/%s/%03d", stage.c_str(), i);
    if (!b.has(name)) break;
    const Tensor t = b.tensors.at(name);
    if (t.dim() == 1) rows->push_back(t);
    else
      for (int64_t r = 0; r < t.size(0); ++r) rows->push_back(t[r].reshape({-1}));
  }
  auto next = std::make_shared<size_t>(0);
  return [rows, next](int64_t n, uint64_t) {
    REQUIRE(*next < rows->size());
    const Tensor t = (*rows)[(*next)++];
    REQUIRE(t.numel() == n);
    return t;
  };
}

train::StageSettings settings(const test::Json& c, const std::string& stage) {
  const auto& t = c.at("training");
  const auto& s = c.at("stages").at(stage);
  train::StageSettings out;
  out.stage = stage;
  out.reference_semantics = true;
  out.epochs = s.at("epochs");
  out.accum_steps = t.at("accum_steps");
  const auto& o = s.at("optimizer");
  out.optimizer.name = o.at("name");
  out.optimizer.lr = o.at("lr");
  out.optimizer.weight_decay = o.value("weight_decay", 0.0);
  out.optimizer.momentum = o.value("momentum", 0.9);
  // betas are given and, as in the reference, not used.
  if (s.contains("scheduler")) {
    const auto& k = s.at("scheduler");
    out.scheduler.name = k.at("name");
    out.scheduler.step_size = k.value("step_size", int64_t{1});
    out.scheduler.gamma = k.value("gamma", 0.5);
    out.scheduler.t_max = k.value("t_max", int64_t{10});
    out.scheduler.eta_min = k.value("eta_min", 0.0);
    out.scheduler.patience = k.value("patience", int64_t{3});
    out.scheduler.factor = k.value("factor", 0.5);
    out.scheduler.threshold = k.value("threshold", 1e-3);
  }
  const bool bare = stage == "steady_prior";  // no clipping, no average there
  const auto clip = s.contains("grad_clip") ? s.at("grad_clip") : t.at("grad_clip");
  if (!bare && clip.is_number()) {
    out.clip = train::StageSettings::Clip::fixed;
    out.clip_norm = clip;
  }
  if (!bare) out.ema_decay = s.contains("ema_decay") ? s.at("ema_decay").get<double>() : t.at("ema_decay").get<double>();
  out.patience = s.contains("patience") ? s.at("patience").get<int64_t>() : t.at("patience").get<int64_t>();
  return out;
}

struct Result {
  Named raw, average;
};

Result run_stage(train::Stage& stage, RecordedBatches& batches, const train::StageSettings& s, std::vector<nlohmann::json>& log, int64_t& step) {
  train::Hooks hooks;
  hooks.flat_log = [&](const io::JsonLine& line) { log.push_back(nlohmann::json::parse(line.text())); };
  train::Trainer trainer(stage, batches, s, at::kCPU, hooks);
  step = trainer.run(step).state.global_step;
  Result r;
  for (const auto& [name, t] : trainer.best_raw()) r.raw.emplace_back(name, t.clone());
  for (const auto& [name, t] : trainer.best_average()) r.average.emplace_back(name, t.clone());
  return r;
}

// 99.9 % of the elements within 1e-6, all within 1e-4; key biases have a zero gradient and drift (trap 1).
void check_weights(const test::Bundle& b, const std::string& prefix, const Named& values) {
  int64_t total = 0, far = 0;
  for (const auto& [name, t] : values) {
    if (name.find("k_proj.bias") != std::string::npos) continue;
    INFO(prefix << name);
    REQUIRE(b.has(prefix + name));
    const Tensor d = (t - b.tensors.at(prefix + name)).abs();
    CHECK(d.max().item<double>() < 1e-4);
    total += d.numel();
    far += (d > 1e-6).sum().item<int64_t>();
  }
  INFO(prefix << " " << far << " of " << total << " beyond 1e-6");
  CHECK(static_cast<double>(far) <= 1e-3 * static_cast<double>(total) + 1);
}

Named initial(const test::Bundle& b, const std::string& prefix) { return b.group(prefix); }

}  // namespace

TEST_CASE("pipeline: the reference's stage loops through the one trainer") {
  for (const auto& bundle : test::load_bundles({"pipeline"})) {
    const auto& config = bundle.config().contains("config") ? bundle.config().at("config") : bundle.config();
    const auto& pdet = config.at("operator").at("pdet");
    const auto& training = config.at("training");
    const int64_t dim = config.at("latent").at("dim");
    const double dt = training.at("dt");
    RecordedBatches batches(bundle);
    std::vector<nlohmann::json> log;
    int64_t step = 0;

    ref::LatentOperatorConfig oc;
    oc.latent_dim = dim;
    oc.hidden_dim = pdet.at("hidden_dim");
    oc.depths = pdet.at("depths").get<std::vector<int64_t>>();
    oc.group_size = pdet.at("group_size");
    oc.num_heads = pdet.at("num_heads");
    oc.time_embed_dim = dim;
    auto op_model = std::make_unique<ref::LatentOperator>(oc, 1);
    op_model->load_state(initial(bundle, "init/operator"), "init");
    stages::ReferenceOperatorStage op_stage(std::move(op_model), {dt, training.at("lambda_spectral")});
    const Result op = run_stage(op_stage, batches, settings(config, "operator"), log, step);
    check_weights(bundle, "final/operator/operator/", op.raw);
    check_weights(bundle, "final/operator/operator_ema/", op.average);

    ref::LatentOperator frozen(oc, 1);
    frozen.load_state(op.raw, "operator");
    ref::TokenMlpConfig dc{dim, config.at("diffusion").at("hidden_dim"), {}};
    auto drift = std::make_unique<ref::DiffusionResidual>(dc, 0.0, 1);
    drift->load_state(initial(bundle, "init/diffusion_residual"), "init");
    stages::ReferenceResidualStage residual(frozen, std::move(drift), dt, {training.at("lambda_spectral"), training.at("lambda_relative")},
                                            recorded_taus(bundle, "diff_residual"));
    const Result corrector = run_stage(residual, batches, settings(config, "diff_residual"), log, step);
    check_weights(bundle, "final/diff_residual/diffusion_residual/", corrector.raw);
    check_weights(bundle, "final/diff_residual/diffusion_residual_ema/", corrector.average);

    auto student = std::make_unique<ref::DiffusionResidual>(dc, 0.0, 1);
    student->load_state(corrector.raw, "diffusion_residual");
    const auto& cs = config.at("stages").at("consistency_distill");
    stages::ReferenceConsistencyStage consistency(frozen, std::move(student), dt, cs.at("tau_schedule").get<std::vector<int64_t>>(),
                                                  training.at("distill_micro_batch"), cs.at("target_loss"), recorded_taus(bundle, "consistency_distill"));
    const Result distilled = run_stage(consistency, batches, settings(config, "consistency_distill"), log, step);
    check_weights(bundle, "final/consistency_distill/diffusion_residual/", distilled.raw);
    check_weights(bundle, "final/consistency_distill/diffusion_residual_ema/", distilled.average);

    const auto prior = [&](const std::string& final_prefix, std::optional<int64_t> patience) {
      auto model = std::make_unique<ref::SteadyPrior>(ref::TokenMlpConfig{dim, 2 * dim, {}}, 4, 1);
      model->load_state(initial(bundle, "init/steady_prior"), "init");
      stages::ReferenceSteadyStage steady(std::move(model));
      auto s = settings(config, "steady_prior");
      if (patience) s.patience = patience;
      check_weights(bundle, final_prefix, run_stage(steady, batches, s, log, step).raw);
    };
    prior("final/steady_prior/steady_prior/", std::nullopt);
    prior("final/steady_prior_stop/steady_prior/", 0);

    const auto& expected = bundle.index.at("log");
    REQUIRE(log.size() == expected.size());
    for (size_t i = 0; i < log.size(); ++i) {
      INFO("record " << i << " " << log[i].dump() << " expected " << expected[i].dump());
      for (const char* key : {"stage", "epoch", "epochs_since_improve"}) CHECK(log[i][key].dump() == expected[i].at(key).dump());
      for (const char* key : {"loss", "lr", "grad_norm", "best_loss"}) {
        if (expected[i].at(key).is_null()) CHECK(log[i][key].is_null());
        else CHECK(log[i][key].get<double>() == Approx(expected[i].at(key).get<double>()).epsilon(2e-6));
      }
    }
  }
}
