#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "ups/config/emit.h"
#include "ups/config/number.h"
#include "ups/core/error.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {

const std::vector<std::string> kNoEffectYet = {"benchmark",
                                               "operator.pdet.dropout",
                                               "diffusion.pdet.dropout",
                                               "stages.steady_prior.pdet.dropout",
                                               "diffusion.corrector_mode",
                                               "training.pin_memory",
                                               "training.prefetch_factor",
                                               "training.grad_clip_scope",
                                               "training.distill_micro_batch",
                                               "training.distill_target_loss",
                                               "training.log_per_task_metrics",
                                               "training.select",
                                               "training.tau",
                                               "checkpoint.dir",
                                               "checkpoint.keep_best",
                                               "checkpoint.verify",
                                               "stages.operator.spectral_loss"};

bool has_no_effect_yet(const std::string& path) {
  return std::find(kNoEffectYet.begin(), kNoEffectYet.end(), path) != kNoEffectYet.end();
}

bool Checker::changed(const std::string& path) const {
  if (!given(path)) return false;
  const config::KeyInfo* key = run_schema().find(path);
  const config::Node* node = tree_.at(path);
  return key == nullptr || node == nullptr || config::to_flow(*node) != key->default_text;
}

void Checker::error(const std::string& path, const std::string& what, const std::string& hint) {
  // The nearest enclosing block that was given, if the key itself was not.
  std::string p = path;
  auto it = places_.find(p);
  while (it == places_.end() && p.find('.') != std::string::npos) {
    p = p.substr(0, p.rfind('.'));
    it = places_.find(p);
  }
  findings_.error(it == places_.end() ? config::Place{} : it->second, what, hint);
}

void Checker::notice(const std::string& path, const std::string& text) {
  const auto it = places_.find(path);
  findings_.notice(it == places_.end() ? config::Place{} : it->second, text);
}

void Checker::run() {
  data(c_.data, "data");
  if (c_.stages.steady_prior.data) data(*c_.stages.steady_prior.data, "stages.steady_prior.data");
  context();
  latent();
  corrector();
  pdet(c_.op.pdet, operator_pdet(c_), "operator.pdet");
  if (c_.diffusion.pdet) pdet(*c_.diffusion.pdet, diffusion_pdet(c_), "diffusion.pdet");
  if (c_.stages.steady_prior.pdet) pdet(*c_.stages.steady_prior.pdet, steady_pdet(c_), "stages.steady_prior.pdet");
  later_values();
  texts();
  stage_blocks();
  hidden_overrides();
  reference_keys();
  pending_keys();
}

void Checker::data(const data::DataOptions& d, const std::string& path) {
  if (changed(path + ".split"))
    notice(path + ".split", "ignored: " + path + ".split (each stage takes the train, val and test parts it needs)");
  if (d.kind != "grid") error(path + ".kind", path + ".kind " + d.kind + " is not supported", "only grids are");
  for (const auto& task : d.task) {
    if (task == "darcy2d_mesh" || task == "particles_advect")
      error(path + ".task", "task '" + task + "' is not supported", "meshes and particles are not");
  }
  if (d.split_fractions.size() != 3) {
    error(path + ".split_fractions", path + ".split_fractions needs three numbers", "train, val, test: [0.8, 0.1, 0.1]");
  } else if (std::abs(d.split_fractions[0] + d.split_fractions[1] + d.split_fractions[2] - 1) > 1e-9) {
    error(path + ".split_fractions", path + ".split_fractions must add up to 1", "for example [0.8, 0.1, 0.1]");
  }
  if (d.split_mode == "file" && d.split_file.empty())
    error(path + ".split_mode", path + ".split_mode file needs " + path + ".split_file", "");
  if (d.split_mode == "holdout" && d.holdout.empty())
    error(path + ".split_mode", path + ".split_mode holdout needs " + path + ".holdout", "for example {nu: [0.01]}");
  int64_t bytes = 0;
  if (!parse_bytes(d.memory_budget, bytes) || bytes < (1 << 20))
    error(path + ".memory_budget", path + ".memory_budget must be a size of at least 1MiB, found '" + d.memory_budget + "'",
          "write 512MiB");
  if (!parse_bytes(d.max_dataset_bytes, bytes) || bytes < 1)
    error(path + ".max_dataset_bytes", path + ".max_dataset_bytes must be a size, found '" + d.max_dataset_bytes + "'",
          "write 64GiB");
  if (d.train_frames && *d.train_frames <= d.initial_step)
    error(path + ".train_frames", path + ".train_frames " + std::to_string(*d.train_frames) + " leaves no frame to validate after " +
                                      std::to_string(d.initial_step) + " initial ones",
          "raise it, or lower data.initial_step");
  if (d.normalization == "reference" && !uses_reference(c_))
    notice(path + ".normalization",
           path + ".normalization reference is for comparisons with UPS only: one mean and std per file and split");
}

void Checker::context() {
  const int64_t stride = c_.training.time_stride, frames = (c_.data.initial_step + stride - 1) / stride;
  if (c_.op.context > frames)
    error("operator.context", "operator.context " + std::to_string(c_.op.context) + " is more than the " + std::to_string(frames) +
                                  " frames that data.initial_step gives the model",
          "raise data.initial_step, or lower operator.context");
  if (c_.op.context > 1 && c_.stages.op.objective == "reference")
    error("operator.context", "stages.operator.objective reference sees one frame", "set operator.context: 1");
}

void Checker::latent() {
  if (c_.latent.space == "ae") {
    if (c_.op.architecture() != "pdet_window" && c_.op.architecture() != "fno" && c_.op.architecture() != "unet")
      error("latent.space", "latent.space ae needs operator.architecture_type pdet_window, fno or unet", "set it, or latent.space: patch");
    if (!c_.op.conserve.empty()) error("operator.conserve", "operator.conserve names channels of fields, the operator works on latents", "set it to []");
    if (!c_.diffusion.conserve.empty()) error("diffusion.conserve", "diffusion.conserve names channels of fields, the corrector works on latents", "set it to []");
    if (c_.stages.op.objective == "reference") error("stages.operator.objective", "objective reference needs latent.space reference", "set it");
  } else if (c_.stages.autoencoder.epochs.value_or(0) > 0) {
    notice("stages.autoencoder.epochs", "the autoencoder is trained, but no later stage uses it (latent.space " + latent_space(c_) + ")");
  }
  if (c_.latent.decoder == "perceiver")
    notice("latent.decoder", "ignored: latent.decoder perceiver (a decoder over the whole domain places no detail; liif is used)");
  if (c_.latent.widths && c_.latent.widths->size() < 2) error("latent.widths", "latent.widths needs at least 2 levels", "for example [24, 48, 96]");
  if (c_.stages.autoencoder.kind == "reference")
    error("stages.autoencoder.kind", "kind reference is not trained: it is latent.space reference", "set latent.space: reference, or kind: ae");
  if (c_.op.architecture() == "pdet_stack")
    error("operator.architecture_type", "pdet_stack is not available yet", "use pdet_window or pdet_unet");
  if (c_.latent.space == "reference" && c_.op.architecture() != "pdet_unet")
    error("latent.space", "latent.space reference needs operator.architecture_type pdet_unet", "set it, or latent.space: patch");
  if (c_.op.architecture() != "pdet_unet") return;
  const int64_t dim = c_.latent.dim;
  const auto same = [&](const std::optional<int64_t>& v, const std::string& path) {
    if (v && *v != dim)
      error(path, path + " is " + std::to_string(*v) + ", but latent.dim is " + std::to_string(dim), "make them equal");
  };
  same(c_.op.pdet.input_dim, "operator.pdet.input_dim");
  same(c_.op.latent_dim, "operator.latent_dim");
  same(c_.diffusion.latent_dim, "diffusion.latent_dim");
  if (c_.ttc.decoder.latent_dim && *c_.ttc.decoder.latent_dim != dim) {
    const std::string text =
        "ttc.decoder.latent_dim is " + std::to_string(*c_.ttc.decoder.latent_dim) + ", but latent.dim is " + std::to_string(dim);
    if (c_.training.semantics == "reference")
      error("ttc.decoder.latent_dim", text, "make them equal");
    else
      notice("ttc.decoder.latent_dim", text);
  }
}

void Checker::pdet(const models::PdetOptions& given_sizes, const models::PdetOptions& p, const std::string& path) {
  const bool window = !models::on_latent_tokens(c_.op.architecture());
  const int64_t heads = p.num_heads;
  const auto divides = [&](int64_t whole, int64_t part, const std::string& a, const std::string& b) {
    if (whole % part != 0)
      error(path + "." + a,
            path + "." + a + " " + std::to_string(whole) + " is not a multiple of " + b + " " + std::to_string(part), "");
  };
  if (window) {
    divides(*p.hidden_dim, heads, "hidden_dim", "num_heads");
  } else {
    if (path == "operator.pdet" && (given_sizes.input_dim || given_sizes.group_size) &&
        (!given_sizes.input_dim || !given_sizes.hidden_dim))
      error(path, path + " needs both input_dim and hidden_dim", "UPS requires them");
    divides(*p.hidden_dim, *p.group_size, "hidden_dim", "group_size");
    divides(*p.group_size, heads, "group_size", "num_heads");
  }
  if (p.depths->empty()) error(path + ".depths", path + ".depths must not be empty", "for example [2, 2]");
  const auto unused = [&](const char* key, const char* owner) {
    const std::string full = path + "." + key;
    if (changed(full)) notice(full, "ignored: " + full + " (read by " + owner + " only)");
  };
  if (window) {
    for (const char* key : {"input_dim", "group_size"}) unused(key, "pdet_unet");
  } else {
    for (const char* key : {"window", "periodic", "condition", "channel_mode", "local_mixing", "modes", "norm", "attention"})
      unused(key, "pdet_window");
  }
}

void Checker::corrector() {
  const std::string objective = stage_objective(c_, "diff_residual");
  if ((objective == "crps" || objective == "refiner") && changed("diffusion.sampler"))
    notice("diffusion.sampler", "ignored: diffusion.sampler (objective " + objective + " has its own)");
}

void Checker::later_values() {
  const auto refuse = [&](bool on, const std::string& path) {
    if (on) error(path, path + " is not supported", "set it to false and choose the value yourself");
  };
  refuse(c_.training.tune_batch_size, "training.tune_batch_size");
  refuse(c_.training.tune_lr, "training.tune_lr");
  if (c_.ttc.reward.critic.weight > 0)
    error("ttc.reward.critic.weight", "ttc.reward.critic.weight above 0 is not supported",
          "learned critics are not; set it to 0");
  if (c_.stages.baseline.epochs.value_or(0) > 0)
    notice("stages.baseline.epochs", "ignored: stages.baseline (no effect yet: trained baselines come later)");
  const char* world = std::getenv("WORLD_SIZE");
  const int64_t processes = world == nullptr ? 1 : std::max<int64_t>(1, config::parse_integer(world).value);
  if (given("training.num_gpus") && c_.training.num_gpus != processes)
    error("training.num_gpus",
          "training.num_gpus is " + std::to_string(c_.training.num_gpus) + ", but " + std::to_string(processes) +
              " process was started",
          "set it to 1: distributed runs come later");
}

void Checker::texts() {
  try {
    parse_sampler(c_.diffusion.sampler);
  } catch (const Error& e) {
    error("diffusion.sampler", "diffusion.sampler: " + e.message(), e.hint());
  }
  if (parse_seconds(c_.logging.every) <= 0)
    error("logging.every", "logging.every must be a time above 0, found '" + c_.logging.every + "'", "write 30s, 2m or 1h");
  const std::string& d = c_.training.device;
  const bool numbered =
      starts_with(d, "cuda:") && config::parse_integer(d.substr(5)).ok && d.size() < 9 && d[5] != '-' && d[5] != '+';
  if (d != "auto" && d != "cpu" && d != "cuda" && !numbered)
    error("training.device", "training.device cannot be '" + d + "'", "one of: auto, cpu, cuda, cuda:N");
  if (c_.run.name && !is_safe_name(*c_.run.name))
    error("run.name", "run.name cannot be '" + *c_.run.name + "'",
          "letters, digits, '.', '_' and '-' only, at most 64, not starting with '.' or '-'");
  const auto& tau = c_.ttc.sampler.tau_range;
  if (tau.size() != 2 || tau[0] >= tau[1])
    error("ttc.sampler.tau_range", "ttc.sampler.tau_range must be two rising numbers in [0, 1]", "for example [0.3, 0.7]");
  if (c_.precision == "fp32" && c_.training.amp) notice("precision", "precision fp32 switches training.amp off");
}

void Checker::pending_keys() {
  for (const auto& path : kNoEffectYet) {
    if (changed(path)) notice(path, "ignored: " + path + " (no effect yet)");
  }
}

void Checker::reference_keys() {
  if (uses_reference(c_)) return;
  for (const config::KeyInfo& key : run_schema().keys()) {
    if (key.info.status == KeyStatus::reference && given(key.path) && !has_no_effect_yet(key.path))
      notice(key.path, "ignored: " + key.path + " (read only by the reference architecture or objective)");
  }
  if (changed("training.dt"))
    notice("training.dt", "ignored: training.dt (the spacing of the data file rules outside the reference)");
}

}  // namespace ups::run
