#include "ups/run/reference_factory.h"

#include <ATen/core/Tensor.h>

#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/stages/reference_space.h"
#include "ups/stages/reference_stages.h"

namespace ups::run {
namespace {

namespace ref = models::reference;

ref::LatentOperatorConfig operator_config(const RunConfig& c) {
  const auto p = models::resolve_pdet(c.op.pdet, "pdet_unet", c.latent.dim);
  ref::LatentOperatorConfig o;
  o.latent_dim = c.latent.dim;
  o.hidden_dim = *p.hidden_dim;
  o.depths = *p.depths;
  o.group_size = *p.group_size;
  o.num_heads = p.num_heads;
  o.mlp_ratio = p.mlp_ratio.value_or(2.0);
  o.time_embed_dim = c.latent.dim;
  return o;
}

ref::TokenMlpConfig corrector_config(const RunConfig& c) { return {c.latent.dim, c.diffusion.hidden_dim.value_or(2 * c.latent.dim), {}}; }

// A stage with what it borrows: the frozen operator must outlive it.
template <class Stage>
struct WithOperator : Stage {
  template <class... Args>
  WithOperator(std::shared_ptr<ref::LatentOperator> op, Args&&... args) : Stage(*op, std::forward<Args>(args)...), owned(std::move(op)) {}
  std::shared_ptr<ref::LatentOperator> owned;
};

}  // namespace

BuiltStage build_reference_stage(const RunConfig& c, const std::string& key, stages::FieldSpace& space, train::CheckpointStore& store) {
  if (latent_space(c) != "reference")
    throw usage_error("stages." + key + ".objective", "objective reference works on UPS's latent states, latent.space is '" + latent_space(c) + "'",
                      "set latent.space: reference");
  if (space.info().steady) throw data_error(space.info().name, "objective reference needs pairs of frames, the set is steady");
  const uint64_t seed = effective_seed(c);
  BuiltStage built;
  built.reference = true;
  built.wrap = [&space, dim = c.latent.dim, tokens = c.latent.tokens, seed](std::unique_ptr<train::BatchSource> fields) {
    stages::ReferenceEncoder encoder(space.info().channels, dim, tokens, sub_seed(seed, "reference_encoder"), space.device);
    return std::make_unique<stages::EncodedSource>(std::move(fields), std::move(encoder));
  };
  const auto taus = [&c] {
    const auto& t = c.training.tau_distribution;
    return t.type == "beta" ? stages::beta_taus(t.alpha, t.beta) : stages::uniform_taus();
  };
  if (key == "operator") {
    auto model = std::make_unique<ref::LatentOperator>(operator_config(c), sub_seed(seed, "init.operator"));
    model->to(space.device);
    built.stage = std::make_unique<stages::ReferenceOperatorStage>(std::move(model), stages::ReferenceOperatorOptions{c.training.dt, c.training.lambda_spectral});
    return built;
  }
  if (key == "steady_prior") {
    auto model = std::make_unique<ref::SteadyPrior>(ref::TokenMlpConfig{c.latent.dim, 2 * c.latent.dim, {}}, 4, sub_seed(seed, "init.steady_prior"));
    model->to(space.device);
    built.stage = std::make_unique<stages::ReferenceSteadyStage>(std::move(model));
    return built;
  }
  const TrainedStage trained = require_trained(store, "operator", key);
  require_same_space(trained, space);
  built.parents.push_back(trained.lineage);
  auto op = std::make_shared<ref::LatentOperator>(operator_config(c), seed);
  op->load_state(trained.weights(true), trained.path);
  op->to(space.device);
  auto drift = std::make_unique<ref::DiffusionResidual>(corrector_config(c), 0.0, sub_seed(seed, "init.corrector"));
  drift->to(space.device);
  if (key == "diff_residual") {
    built.stage = std::make_unique<WithOperator<stages::ReferenceResidualStage>>(
        op, std::move(drift), c.training.dt, ref::CorrectorLossWeights{c.training.lambda_spectral, c.training.lambda_relative}, taus());
    return built;
  }
  const TrainedStage corrector = require_trained(store, "diff_residual", key);
  require_same_space(corrector, space);
  built.parents.push_back(corrector.lineage);
  drift->load_state(corrector.weights(true), corrector.path);
  const auto& s = c.stages.consistency_distill;
  built.stage = std::make_unique<WithOperator<stages::ReferenceConsistencyStage>>(
      op, std::move(drift), c.training.dt, s.tau_schedule.value_or(std::vector<int64_t>{c.training.distill_num_taus}),
      c.training.distill_micro_batch.value_or(c.training.batch_size), s.target_loss, taus());
  return built;
}

}  // namespace ups::run
