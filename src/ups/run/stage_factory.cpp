#include "ups/run/stage_factory.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/core/text.h"
#include "ups/run/reference_factory.h"
#include "ups/stages/build.h"

namespace ups::run {
namespace {

constexpr int64_t kResidualTrajectories = 32;

stages::NetOptions net_options(const RunConfig& c, const std::string& architecture, models::PdetOptions pdet, std::optional<int64_t> patch) {
  return {architecture, std::move(pdet), c.op.fno, c.op.unet, c.latent.dim, patch};
}

bool is_opponent(const RunConfig& c) { return c.op.architecture() == "fno" || c.op.architecture() == "unet"; }

// Indices of the channels that a key names.
std::vector<int64_t> named_channels(const std::vector<std::string>& names, const char* key, const data::SetInfo& info) {
  std::vector<int64_t> out;
  for (const auto& name : names) {
    const auto it = std::find(info.channel_names.begin(), info.channel_names.end(), name);
    if (it == info.channel_names.end())
      throw usage_error(key, "the data have no channel '" + name + "'", "channels: " + join(info.channel_names, ", "));
    out.push_back(it - info.channel_names.begin());
  }
  return out;
}

}  // namespace

std::unique_ptr<models::FieldOperator> build_operator(const RunConfig& c, const stages::FieldSpace& space, uint64_t seed) {
  stages::NetSpec spec{c.op.context * space.channels(), space.channels(), false, false, sub_seed(seed, "init.operator")};
  auto net = stages::build_net(space, spec, net_options(c, c.op.architecture(), operator_pdet(c), c.data.patch_size));
  auto op = std::make_unique<models::FieldOperator>(std::move(net), space.delta_rms, space.axes(), c.op.predict == "state",
                                                    named_channels(c.op.conserve, "operator.conserve", space.info()));
  op->to(space.device);
  return op;
}

std::unique_ptr<models::FieldOperator> load_operator(const RunConfig& c, const stages::FieldSpace& space, const TrainedStage& trained, bool prefer_raw) {
  require_same_space(trained, space);
  auto op = build_operator(c, space, effective_seed(c));
  op->load_state(trained.weights(prefer_raw), trained.path);
  return op;
}

std::unique_ptr<models::Corrector> build_corrector(const RunConfig& c, const stages::FieldSpace& space,
                                                   const std::vector<double>& residual_rms, uint64_t seed) {
  const int64_t channels = space.channels();
  stages::NetSpec spec{3 * channels, channels, true, false, sub_seed(seed, "init.corrector")};
  auto net = stages::build_net(space, spec, net_options(c, "pdet_window", diffusion_pdet(c), c.data.patch_size));
  auto model = std::make_unique<models::Corrector>(std::move(net), residual_rms, space.delta_rms, space.axes(),
                                                    stage_objective(c, "diff_residual") == "edm");
  model->to(space.device);
  return model;
}

std::unique_ptr<models::Corrector> load_corrector(const RunConfig& c, const stages::FieldSpace& space, const TrainedStage& trained) {
  require_same_space(trained, space);
  auto m = build_corrector(c, space, std::vector<double>(static_cast<size_t>(space.channels()), 1.0), effective_seed(c));
  m->load_state(trained.weights(), trained.path);
  return m;
}

std::unique_ptr<models::SteadyField> build_steady(const RunConfig& c, const stages::FieldSpace& space,
                                                  const stages::SteadyStatistics& statistics, uint64_t seed) {
  const auto& info = space.info();
  const bool samples = steady_null_share(c) < 1;
  stages::NetSpec spec{info.channels + info.coeff_channels, info.channels, samples, true, sub_seed(seed, "init.steady_prior")};
  const std::string architecture = is_opponent(c) ? c.op.architecture() : "pdet_window";
  auto net = stages::build_net(space, spec, net_options(c, architecture, steady_pdet(c), stage_data(c, "steady_prior").patch_size));
  auto model = std::make_unique<models::SteadyField>(std::move(net), statistics.mean_field, statistics.rms, space.axes());
  model->to(space.device);
  return model;
}

double steady_null_share(const RunConfig& c) {
  if (stage_objective(c, "steady_prior") == "attractor") return 0;
  return is_opponent(c) ? 1 : c.stages.steady_prior.null_token_share.value_or(c.diffusion.null_token_share);
}

const stages::ResidualObjective& corrector_objective(const RunConfig& c) { return stages::residual_objective(stage_objective(c, "diff_residual")); }
const stages::DistillObjective& student_objective(const RunConfig& c) { return stages::distill_objective(stage_objective(c, "consistency_distill")); }

stages::CorrectorOptions corrector_options(const RunConfig& c, const data::SetInfo& info) {
  stages::CorrectorOptions o;
  o.null_token_share = c.diffusion.null_token_share;
  o.gate = c.diffusion.gate;
  o.rollout_mix = c.diffusion.rollout_mix;
  o.conserved = named_channels(c.diffusion.conserve, "diffusion.conserve", info);
  return o;
}

std::string config_key(const std::string& key) { return key == "operator_equal_compute" ? "operator" : key; }

namespace {

BuiltStage build_fields(const RunConfig& c, const std::string& key, stages::FieldSpace& space, train::CheckpointStore& store) {
  const uint64_t seed = effective_seed(c);
  const int64_t initial_step = c.data.initial_step;
  const std::string objective = stage_objective(c, config_key(key));
  if (objective == "reference") return build_reference_stage(c, key, space, store);
  BuiltStage built;
  if (key == "autoencoder") {
    const int64_t batch = resolve_stage(c, key).batch_size, samples = static_cast<int64_t>(space.dataset->members(data::Split::train).size()) * space.info().frames;
    built.stage = std::make_unique<stages::FieldAutoencoderStage>(
        space, stages::build_autoencoder(space, c.latent, c.stages.autoencoder.kind == "vae", seed), c.stages.autoencoder, (samples + batch - 1) / batch, seed);
    built.window = 1;
    return built;
  }
  if (key == "steady_prior" && objective == "attractor") {
    if (space.info().steady || space.info().coeff_channels > 0)
      throw data_error(space.info().name, "objective attractor needs frames of a chaotic set, found a steady set", "use objective flow, or give stages.steady_prior.data such a file");
    if (is_opponent(c)) throw usage_error("operator.architecture_type", c.op.architecture() + " has no noise level, which objective attractor needs", "use pdet_window");
    built.stage = std::make_unique<stages::AttractorStage>(space, build_steady(c, space, stages::attractor_statistics(space), seed));
    built.window = 1;
    return built;
  }
  if (key == "steady_prior") {
    if (!space.info().steady)
      throw data_error(space.info().name, "stage steady_prior needs a steady set with coefficients, found " + std::to_string(space.info().frames) + " frames",
                       "give stages.steady_prior.data a Darcy file, or set objective: attractor");
    const auto statistics = stages::steady_statistics(space);
    built.stage = std::make_unique<stages::SteadyFlowStage>(space, build_steady(c, space, statistics, seed), steady_null_share(c), true);
    built.window = 1;
    return built;
  }
  if (space.info().steady)
    throw data_error(space.info().name, "stage " + key + " needs at least 2 frames, the set is steady", "use it for steady_prior only");
  if (key == "operator" || key == "operator_equal_compute") {
    stages::OperatorLossOptions o{c.stages.op.rollout, c.training.lambda_spectral, c.training.lambda_relative, c.training.lambda_rollout,
                                  c.training.rollout_horizon, c.op.context, objective == "mse"};
    auto stage = std::make_unique<stages::FieldOperatorStage>(space, build_operator(c, space, seed), o, initial_step, key);
    built.window = stage->window();
    built.stage = std::move(stage);
    return built;
  }
  const TrainedStage op = require_trained(store, "operator", key);
  built.frozen_operator = load_operator(c, space, op, c.training.semantics == "reference");
  built.frozen_operator->set_requires_grad(false);
  built.parents.push_back(op.lineage);
  const auto residuals = stages::hold_out(space, data::Split::val, kResidualTrajectories, 1);
  const double operator_error = stages::residual_relative(residuals, *built.frozen_operator);
  const stages::CorrectorSetting setting{space, *built.frozen_operator, corrector_objective(c), corrector_options(c, space.info()), initial_step,
                                         operator_error};
  built.window = setting.options.rollout_mix > 0 ? 3 : 2;
  if (key == "diff_residual") {
    built.stage = std::make_unique<stages::CorrectorStage>(setting, build_corrector(c, space, stages::residual_rms(residuals, *built.frozen_operator), seed));
    return built;
  }
  if (key != "consistency_distill") throw usage_error("--stage", "stage '" + key + "' is not available yet");
  const TrainedStage corrector = require_trained(store, "diff_residual", key);
  built.parents.push_back(corrector.lineage);
  const auto copy = [&] { return load_corrector(c, space, corrector); };
  stages::DistillOptions distill;
  distill.draws = c.training.distill_num_taus > 3 ? 2 : 1;
  distill.average_decay = std::min(resolve_stage(c, key).ema_decay.value_or(0.99), 0.99);
  distill.target = c.stages.consistency_distill.target_loss;
  built.stage = std::make_unique<stages::DistillStage>(setting, student_objective(c), copy(), copy(), copy(), distill);
  return built;
}

}  // namespace

BuiltStage build_stage(const RunConfig& c, const std::string& key, stages::FieldSpace& space, train::CheckpointStore& store) {
  BuiltStage built = build_fields(c, key, space, store);
  if (!space.autoencoder) return built;
  if (space.encoded_by) built.parents.push_back(*space.encoded_by);
  built.wrap = [&space](std::unique_ptr<train::BatchSource> fields) { return std::make_unique<stages::LatentSource>(std::move(fields), space); };
  return built;
}

}  // namespace ups::run
