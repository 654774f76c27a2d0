#include <algorithm>
#include <filesystem>
#include <thread>

#include "ups/config/number.h"
#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {

const stages::StageCommon* stage_block(const RunConfig& c, const std::string& stage) {
  if (stage == "autoencoder") return &c.stages.autoencoder;
  if (stage == "operator") return &c.stages.op;
  if (stage == "diff_residual") return &c.stages.diff_residual;
  if (stage == "consistency_distill") return &c.stages.consistency_distill;
  if (stage == "steady_prior") return &c.stages.steady_prior;
  return nullptr;
}

uint64_t effective_seed(const RunConfig& c) { return static_cast<uint64_t>(c.training.seed.value_or(c.seed)); }

std::string latent_space(const RunConfig& c) { return c.latent.space == "auto" ? "patch" : c.latent.space; }

const data::DataOptions& stage_data(const RunConfig& c, const std::string& stage) {
  return stage == "steady_prior" && c.stages.steady_prior.data ? *c.stages.steady_prior.data : c.data;
}

std::string stage_objective(const RunConfig& c, const std::string& stage) {
  if (stage == "operator") return c.stages.op.objective;
  if (stage == "diff_residual") return c.stages.diff_residual.objective.value_or(c.diffusion.objective);
  if (stage == "consistency_distill") return c.stages.consistency_distill.objective;
  if (stage == "steady_prior") return c.stages.steady_prior.objective;
  return "default";
}

models::PdetOptions operator_pdet(const RunConfig& c) { return models::resolve_pdet(c.op, c.latent.dim); }

models::PdetOptions diffusion_pdet(const RunConfig& c) {
  if (!c.diffusion.pdet) return operator_pdet(c);
  return models::resolve_pdet(*c.diffusion.pdet, c.op.architecture(), c.latent.dim);
}

models::PdetOptions steady_pdet(const RunConfig& c) {
  if (!c.stages.steady_prior.pdet) return operator_pdet(c);
  return models::resolve_pdet(*c.stages.steady_prior.pdet, c.op.architecture(), c.latent.dim);
}

bool uses_reference(const RunConfig& c) {
  if (c.training.semantics == "reference" || models::on_latent_tokens(c.op.architecture()) || c.diffusion.objective == "reference")
    return true;
  return std::any_of(kStageNames.begin(), kStageNames.end(),
                     [&](const std::string& s) { return stage_objective(c, s) == "reference"; });
}

Sampler parse_sampler(const std::string& text) {
  const auto parts = split(text, ':');
  const auto steps = parts.size() == 2 ? config::parse_integer(parts[1]) : config::IntResult{};
  if (parts.size() != 2 || (parts[0] != "heun" && parts[0] != "euler") || !steps.ok || steps.value < 1 || steps.value > 10000)
    throw usage_error("diffusion.sampler", "cannot read '" + text + "'", "write heun:8 or euler:4");
  return {parts[0] == "heun", steps.value};
}

double parse_seconds(const std::string& text) {
  if (text.empty()) return -1;
  double unit = 1;
  std::string number = text;
  switch (text.back()) {
    case 's': unit = 1; break;
    case 'm': unit = 60; break;
    case 'h': unit = 3600; break;
    default: unit = 0;
  }
  if (unit > 0) number.pop_back();
  const auto r = config::parse_real(number);
  return r.ok && r.value >= 0 ? r.value * (unit > 0 ? unit : 1) : -1;
}

namespace {

void set_clip(train::StageSettings& s, const std::optional<train::GradClip>& clip) {
  using Clip = train::StageSettings::Clip;
  if (!clip) {
    s.clip = Clip::off;
  } else if (std::holds_alternative<std::string>(*clip)) {
    s.clip = Clip::ema;
  } else {
    s.clip = Clip::fixed;
    s.clip_norm = std::get<double>(*clip);
  }
}

std::string long_dtype(const std::string& s) {
  if (s == "bf16") return "bfloat16";
  return s == "fp16" ? "float16" : s;
}

int64_t default_workers() { return static_cast<int64_t>(std::thread::hardware_concurrency() / 4); }

}  // namespace

train::StageSettings resolve_stage(const RunConfig& c, const std::string& stage) {
  const stages::StageCommon* b = stage_block(c, stage);
  if (b == nullptr) throw usage_error("--stage", "unknown stage '" + stage + "'", "one of: " + join(kStageNames, ", "));
  const train::TrainingOptions& t = c.training;
  train::StageSettings s;
  s.stage = stage;
  s.epochs = b->epochs.value_or(0);
  s.batch_size = b->batch_size.value_or(t.batch_size);
  s.accum_steps = b->accum_steps.value_or(t.accum_steps);
  s.optimizer = b->optimizer ? *b->optimizer : c.optimizer;  // whole, as UPS
  if (b->scheduler) {
    s.scheduler = *b->scheduler;
  } else if (s.optimizer.scheduler) {
    s.scheduler = *s.optimizer.scheduler;
  } else if (c.optimizer.scheduler) {
    s.scheduler = *c.optimizer.scheduler;
  }
  s.optimizer.scheduler.reset();
  set_clip(s, b->grad_clip ? *b->grad_clip : t.grad_clip);
  s.ema_decay = b->ema_decay ? *b->ema_decay : t.ema_decay;
  s.patience = b->patience ? *b->patience : t.patience;
  s.amp = b->amp ? b->amp->value_or(false) : t.amp;
  s.amp_dtype = long_dtype(c.precision.value_or(t.amp_dtype));
  if (s.amp_dtype == "fp32") s.amp = false;
  if (s.amp_dtype == "fp32") s.amp_dtype = "bfloat16";
  s.compile = b->compile ? b->compile->value_or(false) : t.compile;
  s.compile_warmup = t.compile_warmup;
  s.nan_policy = b->nan_policy.value_or(t.nan_policy);
  s.rollback_every = t.rollback_every;
  if (stage == "autoencoder" && c.stages.autoencoder.kind == "none") s.epochs = 0;
  s.cpu_seconds = t.cpu_seconds;
  s.settle_every = t.nan_check_every.value_or(s.settle_every);
  s.validate_every = t.validate_every;
  s.checkpoint_every = c.checkpoint.every;
  s.checkpoint_interval = t.checkpoint_interval;
  s.time_stride = t.time_stride;
  s.workers = t.num_workers.value_or(default_workers());
  s.seed = effective_seed(c);
  s.reference_semantics = t.semantics == "reference";
  if (s.reference_semantics) {  // the reference never passes betas and eps on, and its steady loop knows neither clip nor EMA
    s.optimizer.betas = {0.9, 0.999};
    s.optimizer.eps = 1e-8;
    if (stage == "steady_prior") {
      s.clip = train::StageSettings::Clip::off;
      s.ema_decay.reset();
    }
  }
  return s;
}

void check_paths(const LoadedConfig& loaded) {
  namespace fs = std::filesystem;
  const auto check = [&](const data::DataOptions& d, const std::string& path) {
    const auto origin = [&](const std::string& key) {
      const auto it = loaded.origins.find(path + key);
      return it == loaded.origins.end() ? path + key : it->second;
    };
    if (d.files.empty() && d.path.empty() && d.root.empty())
      throw usage_error("", path + "files and " + path + "root are empty", "name the data: " + path + "files: [file.hdf5]");
    for (const auto& f : d.files) {
      std::error_code e;
      if (!fs::exists(f, e))
        throw data_error(origin("files"), "data file '" + f + "' does not exist",
                         "ups-data generate writes one; paths are relative to the working directory");
    }
    std::error_code e;
    if (d.files.empty() && !d.path.empty() && !fs::is_directory(d.path, e))
      throw data_error(origin("path"), "Zarr store '" + d.path + "' does not exist", "");
    if (d.files.empty() && d.path.empty() && !fs::is_directory(d.root, e))
      throw data_error(origin("root"), "data folder '" + d.root + "' does not exist", "");
    if (d.split_mode == "file" && !fs::exists(d.split_file, e))
      throw data_error(origin("split_file"), "split file '" + d.split_file + "' does not exist", "");
  };
  const RunConfig& c = loaded.config;
  const bool steady_only = c.stages.op.epochs.value_or(0) == 0 && c.stages.diff_residual.epochs.value_or(0) == 0 &&
                           c.stages.steady_prior.epochs.value_or(0) > 0 && c.stages.steady_prior.data;
  if (!steady_only) check(c.data, "data.");
  if (c.stages.steady_prior.data && c.stages.steady_prior.epochs.value_or(0) > 0)
    check(*c.stages.steady_prior.data, "stages.steady_prior.data.");
}

}  // namespace ups::run
