#include "ups/run/init_recipes.h"

#include <algorithm>

#include "ups/core/error.h"
#include "ups/core/text.h"

namespace ups::run {
namespace {

struct Recipe {
  const char* name;
  const char* equation;
  const char* generate;  // arguments of `ups-data generate`
  const char* file;
  int initial_step;
  int patch;
  const char* pdet;       // body of operator.pdet
  const char* corrector;  // body of diffusion.pdet
  const char* more = "";  // further lines of the operator block
  const char* rollout = "{mode: none}";
  const char* lr = "3.0e-3";
  int epochs = 3;
  bool steady = false;
};

// Operators and rates: those of configs/ (docs/comparison.md, docs/explanation/operator.md).
const std::vector<Recipe>& recipes() {
  constexpr const char* kConserve = "  conserve: [u]                     # a step keeps the spatial mean of these channels\n";
  constexpr const char* kCorrector = "hidden_dim: 24, depths: [2, 1], num_heads: 4, local_mixing: spectral, modes: 48, mlp_ratio: 1";
  static const std::vector<Recipe> all = {
      {"burgers", "1-D Burgers, u_t + (u^2/2)_x = (nu/pi) u_xx, nu = 0.01, periodic",
       "burgers1d -n 1024 --nx 256 --param nu=0.01 --t-end 2 --save-every 0.05", "burgers1d_nu0.01.hdf5", 10, 1,
       "hidden_dim: 24, depths: [2, 1], num_heads: 4, local_mixing: spectral, modes: 12, mlp_ratio: 0, transport: true, condition: []", kCorrector, kConserve},
      {"advection", "1-D advection, u_t + beta u_x = 0, beta = 1, periodic",
       "advection1d -n 1024 --nx 256 --param beta=1.0 --t-end 2 --save-every 0.05", "advection1d_beta1.0.hdf5", 10, 1,
       "hidden_dim: 24, depths: [2], num_heads: 4, local_mixing: spectral, modes: 24, mlp_ratio: 0, linear_path: true, condition: []", kCorrector, kConserve, "{mode: none}", "3.0e-3", 4},
      {"ks", "Kuramoto-Sivashinsky, u_t + u u_x + u_xx + u_xxxx = 0, L = 22, periodic, chaotic",
       "ks1d -n 640 --nx 64 --t-end 40 --save-every 1", "ks1d_L22.hdf5", 10, 1,
       "hidden_dim: 24, depths: [5], num_heads: 4, local_mixing: spectral, modes: 16, mlp_ratio: 0, linear_path: true, condition: []",
       "hidden_dim: 48, depths: [2, 2], num_heads: 4, local_mixing: spectral, modes: 24", kConserve, "{mode: noise, noise: 1.0e-4, start_frac: 0}", "3.0e-3", 15},
      {"darcy", "steady 2-D Darcy flow, -div(a grad u) = beta", "darcy2d -n 1024 --nx 24", "darcy2d_24.hdf5", 1, 2,
       "hidden_dim: 32, depths: [1, 1, 1], num_heads: 4, local_mixing: spectral, modes: 8, mlp_ratio: 1", "", "", "", "3.0e-3", 40, true},
      {"diffreact", "2-D diffusion-reaction (FitzHugh-Nagumo), zero flux",
       "diffreact2d -n 256 --nx 64 --t-end 5 --save-every 0.25", "diffreact2d.h5", 1, 2,
       "hidden_dim: 32, depths: [4], num_heads: 4, local_mixing: conv3, mlp_ratio: 1, condition: []",
       "hidden_dim: 48, depths: [2, 2], num_heads: 4, local_mixing: conv3", "", "{mode: none}", "3.0e-3", 5},
      {"ns", "2-D incompressible flow, decaying vortices, nu = 0.01, periodic",
       "ns2d -n 256 --nx 64 --param nu=0.01 --t-end 5 --save-every 0.25", "ns2d_nu0.01.h5", 1, 2,
       "hidden_dim: 24, depths: [2, 1], num_heads: 4, local_mixing: spectral, modes: 12, mlp_ratio: 0, transport: true, linear_path: true, condition: []",
       "hidden_dim: 24, depths: [2, 1], num_heads: 4, local_mixing: spectral, modes: 16, mlp_ratio: 1", "", "{mode: none}", "6.0e-3", 10},
  };
  return all;
}

std::string data_block(const Recipe& r) {
  return std::string("data:\n  files: [") + r.file +
         "]           # HDF5 files; several parameter values of one equation may be listed\n" +
         "  split_fractions: [0.8, 0.1, 0.1]  # train, val, test: trajectories, by hash, never shared\n"
         "  normalization: meanstd            # per channel, from the train split only\n" +
         "  initial_step: " + std::to_string(r.initial_step) +
         "                 # frames given before errors count; the rollout starts from the last of them\n" +
         "  patch_size: " + std::to_string(r.patch) +
         "                   # cells per patch: smaller is more accurate and slower\n";
}

std::string network_block(const Recipe& r) {
  return std::string(
             "operator:\n"
             "  architecture_type: pdet_window    # PDE-Transformer with shifted windows; starts as persistence\n"
             "  pdet: {") +
         r.pdet + "}\n" + r.more;
}

constexpr const char* kTraining = R"(training:
  batch_size: 8                     # samples per micro-batch
  accum_steps: 1                    # micro-batches per update
  grad_clip: 1.0                    # null = off, ema = follow the norm
  ema_decay: 0.999                  # averaged weights are validated and exported
  patience: null                    # stop after patience + 1 validations without improvement
  amp: false                        # true: bf16 autocast (fast on GPUs)
  nan_policy: skip                  # or abort
  device: auto                      # cuda if there is one
)";

std::string optimizer_block(const Recipe& r) {
  return std::string("optimizer:\n  name: muon_hybrid                 # Muon for matrices, AdamW for the rest; or adamw\n  lr: ") + r.lr +
         "\n  weight_decay: 1.0e-4\n  scheduler: {name: warmup_cosine, warmup_fraction: 0.02, eta_min: 1.0e-6}\n";
}

std::string time_stages(const Recipe& r) {
  const std::string n = std::to_string(r.epochs);
  return std::string("diffusion:\n  pdet: {") + r.corrector + "}\n" +
         "  objective: flow                   # the corrector learns the distribution of the operator's residual\n"
         "  corrector_mode: mean              # mean: one deterministic correction; sample: an ensemble member\n"
         "  sampler: euler:2                  # steps from noise to residual in sample mode; heun:8 is finer, and distilling it takes eight times as long\n"
         "  null_token_share: 0.5             # share of each batch that trains the mean mode\n"
         "  gate: 0                           # 0 = always correct\n\n"
         "stages:                             # run in this order by --stage all; epochs: 0 switches one off\n"
         "  operator:\n"
         "    epochs: " +
         n +
         "\n"
         "    rollout: " + r.rollout + "           # none, noise, pushforward or unroll: training on the model's own states\n"
         "  diff_residual:\n"
         "    epochs: " +
         n +
         "\n"
         "    optimizer: {name: adamw, lr: 3.0e-3, weight_decay: 1.0e-4, scheduler: {name: warmup_cosine, warmup_fraction: 0.02, eta_min: 1.0e-6}}\n"
         "  consistency_distill:\n"
         "    epochs: " +
         std::to_string(std::max(1, r.epochs / 2)) +
         "\n"
         "    optimizer: {name: adamw, lr: 1.0e-3, weight_decay: 1.0e-4}   # replaces the global block whole\n"
         "  steady_prior:\n"
         "    epochs: 0                       # needs a steady set: see ups-train init --recipe darcy\n";
}

std::string steady_stages(const Recipe& r) {
  return "stages:\n"
         "  operator: {epochs: 0}             # needs a set with a time axis\n"
         "  steady_prior:\n"
         "    epochs: " +
         std::to_string(r.epochs) +
         "\n"
         "    batch_size: 4\n"
         "    objective: flow                 # coefficients to solution\n"
         "    null_token_share: 1             # the deterministic mean mode alone; 0.5 trains samples beside it\n"
         "    warm_start_iters: [5, 10, 20]   # errors of a solver started from the prediction are reported after these\n";
}

// Comments behind values start in one column.
std::string align_comments(const std::string& text) {
  constexpr size_t kColumn = 44;
  std::vector<std::string> lines = split(text, '\n');
  for (std::string& line : lines) {
    const size_t at = line.find(" #");
    if (at == std::string::npos || line[0] == '#') continue;
    const size_t end = line.find_last_not_of(' ', at) + 1;
    const std::string comment = line.substr(at + 1);
    line = line.substr(0, end);
    line += std::string(end + 2 < kColumn ? kColumn - end : 2, ' ') + comment;
  }
  return join(lines, "\n");
}

}  // namespace

const std::vector<std::string>& recipe_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const Recipe& r : recipes()) out.emplace_back(r.name);
    return out;
  }();
  return names;
}

std::string recipe_text(const std::string& name) {
  const auto it = std::find_if(recipes().begin(), recipes().end(), [&](const Recipe& r) { return name == r.name; });
  if (it == recipes().end()) {
    const std::string near = nearest(name, recipe_names());
    throw usage_error("--recipe", "unknown recipe '" + name + "'",
                      (near.empty() ? "" : "did you mean '" + near + "'? ") + ("one of: " + join(recipe_names(), ", ")));
  }
  const Recipe& r = *it;
  std::string text = std::string("# ") + r.equation + "\n";
  text += std::string("#   data:     ups-data generate ") + r.generate + " -o " + r.file + "\n";
  text += std::string("#   training: ups-train --config ") + r.name + ".yaml --stage all --run-dir runs/" + r.name + "\n";
  text += "#   result:   ups-eval --run runs/" + std::string(r.name) + "\n";
  text += "# Every key: ups-train schema, or docs/reference/config.md\n\n";
  text += "seed: 17\n\n" + data_block(r) + "\n" + network_block(r) + "\n" + kTraining + "\n" + optimizer_block(r) + "\n";
  text += r.steady ? steady_stages(r) : time_stages(r);
  text += "\nevaluation:\n  split: test\n  ensemble: 8                       # members of stochastic models\n";
  text += "\ncheckpoint:\n  every: 1                          # epochs\n  keep: 3\n";
  return align_comments(text);
}

}  // namespace ups::run
