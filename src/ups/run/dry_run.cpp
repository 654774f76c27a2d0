#include <ATen/ATen.h>
#include <fmt/format.h>

#include <chrono>
#include <iostream>

#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/routing.h"
#include "ups/run/latent_space.h"
#include "ups/run/pipeline.h"
#include "ups/run/session.h"
#include "ups/run/stage_factory.h"
#include "ups/train/loader_source.h"

namespace ups::run {
namespace {

// A directory that nothing is ever written to: stages that need earlier ones are described, not built.
const char* kNowhere = "/nonexistent-ups-dry-run";

std::string indented(const std::string& text, size_t columns) {
  const std::string margin(columns, ' ');
  return margin + join(split(text, '\n'), "\n" + margin);
}

void describe(const RunConfig& c, const std::string& key, stages::FieldSpace& space) {
  const auto settings = resolve_stage(c, key);
  const auto& info = space.info();
  std::string grid;
  for (int64_t n : info.grid) grid += (grid.empty() ? "" : "x") + std::to_string(n);
  std::cout << fmt::format("{}: {} {} trajectories x {} frames x {} channels x {}, batch {} x {}, {} epochs\n", key, info.name, info.trajectories,
                           info.frames, info.channels, grid, settings.batch_size, settings.accum_steps, settings.epochs);
  std::cout << fmt::format("  data: {} on disk, {} selected, {} resident; split train/val/test {}/{}/{}\n", format_bytes(space.dataset->bytes_on_disk()),
                           format_bytes(space.dataset->bytes_selected()), format_bytes(space.dataset->bytes_resident()),
                           space.dataset->members(data::Split::train).size(), space.dataset->members(data::Split::val).size(),
                           space.dataset->members(data::Split::test).size());
  train::CheckpointStore none(kNowhere, 1);
  std::unique_ptr<models::Module> network;
  BuiltStage built;
  models::Module* module = nullptr;
  if (key == "autoencoder" || key == "operator" || key == "steady_prior") {
    built = build_stage(c, key, space, none);
    module = &built.stage->module();
  } else {
    network = build_corrector(c, space, std::vector<double>(static_cast<size_t>(space.channels()), 1.0), effective_seed(c));
    module = network.get();
  }
  const auto optimizer = optim::make_optimizer(settings.optimizer, module->parameters());
  const double megabytes = static_cast<double>(module->parameter_count()) * 4 / 1048576;
  std::cout << fmt::format("  {} parameters; weights, gradients, moments, average: {:.1f} MiB\n{}\n  which parameter goes where:\n{}\n",
                           module->parameter_count(), megabytes * 5, indented(optimizer->summary(), 2),
                           indented(optim::routing_table(settings.optimizer, module->parameters()), 4));
  if (!built.stage) {
    std::cout << "  needs the trained operator: not run here\n";
    return;
  }
  data::LoaderSpec spec;
  spec.batch_size = settings.batch_size;
  spec.window = built.window;
  spec.stride = space.stride;
  spec.stage = key;
  std::unique_ptr<train::BatchSource> source = std::make_unique<train::LoaderSource>(*space.dataset, space.normalizer, spec, space.device);
  if (built.wrap) source = built.wrap(std::move(source));
  train::BatchSource& batches = *source;
  double best = 1e30;
  for (int i = 0; i < 3; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const auto loss = built.stage->loss(batches.get(0, i % batches.batches()), {0, i, 0.0, static_cast<uint64_t>(i)});
    loss.total.backward();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    if (i == 0) std::cout << fmt::format("  first loss {:.4g}\n", loss.total.item<double>());
    optimizer->zero_grad();
  }
  const int64_t updates = (batches.batches() + settings.accum_steps - 1) / settings.accum_steps * settings.epochs;
  std::cout << fmt::format("  {} updates, {:.1f} ms per micro-batch without the optimizer: about {:.0f} s\n", updates, best * 1e3,
                           best * static_cast<double>(updates * settings.accum_steps));
}

}  // namespace

int dry_run(const TrainArgs& args) {
  const LoadedConfig loaded = load_config(args);
  const RunConfig& c = loaded.config;
  prepare_process(c);
  const at::Device device = choose_device(c.training.device);
  const std::string wanted = args.stage.empty() ? "all" : args.stage;
  std::unique_ptr<stages::FieldSpace> main, steady, latent;
  for (const auto& key : kStageNames) {
    if ((wanted != "all" && wanted != key) || resolve_stage(c, key).epochs == 0) continue;
    const bool own = key == "steady_prior" && c.stages.steady_prior.data;
    auto& space = own ? steady : main;
    if (!space) space = stages::open_field_space(stage_data(c, key), own ? 1 : c.training.time_stride, device);
    if (works_on_latents(c, key) && !latent) {  // the sizes are those of an untrained autoencoder
      latent = std::make_unique<stages::FieldSpace>(*space);
      stages::enter_latent_space(*latent, stages::build_autoencoder(*latent, c.latent, c.stages.autoencoder.kind == "vae", effective_seed(c)));
    }
    describe(c, key, works_on_latents(c, key) ? *latent : *space);
  }
  return 0;
}

}  // namespace ups::run
