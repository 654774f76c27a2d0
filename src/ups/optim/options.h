// Options of optimizers and learning-rate schedules: config blocks `optimizer` and `scheduler` (optim.md 1 and 6, cli.md 6).
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"

namespace ups::optim {

// Learning rate as a function of an index i: epochs finished or updates done.
struct SchedulerOptions {
  std::string name = "none";      // none | constant | steplr | cosineannealinglr | reducelronplateau | linear | warmup_cosine | wsd
  std::string interval = "auto";  // what i counts: epoch | step; see counts_steps()
  // steplr
  int64_t step_size = 1;
  double step_fraction = 0;
  double gamma = 0.5;
  // cosineannealinglr; eta_min also ends warmup_cosine
  int64_t t_max = 10;
  double eta_min = 0;
  // reducelronplateau
  std::string mode = "min";
  double factor = 0.5;
  int64_t patience = 3;
  double threshold = 1e-3;
  std::string threshold_mode = "rel";
  int64_t cooldown = 0;
  double min_lr = 0;
  double eps = 1e-8;
  // linear, warmup_cosine, wsd; lengths in units of the interval
  int64_t warmup_steps = 0;
  double warmup_fraction = 0;
  int64_t total_steps = 0;  // 0 = the stage's planned length
  double end_factor = 0;
  int64_t decay_steps = 0;
  double decay_fraction = 0.2;
  std::string decay_shape = "linear";
  double final_factor = 0;

  // "auto": updates for linear, warmup_cosine and wsd (they are meant to be smooth), else epochs as in UPS.
  bool counts_steps() const {
    return interval == "step" || (interval == "auto" && (name == "linear" || name == "warmup_cosine" || name == "wsd"));
  }
  bool is_plateau() const { return name == "reducelronplateau" || name == "reducelr" || name == "plateau"; }

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("name", s.name,
      {.doc = "schedule of the learning rate; none = constant; reducelr and plateau = reducelronplateau",
       .choices = {"none", "constant", "steplr", "cosineannealinglr", "reducelronplateau", "reducelr", "plateau", "linear",
                   "warmup_cosine", "wsd"}});
    v("interval", s.interval,
      {.doc = "what the schedule counts; auto = step for linear, warmup_cosine and wsd, else epoch",
       .choices = {"auto", "epoch", "step"}});
    v("step_size", s.step_size, {.doc = "steplr: intervals between decays", .min = 1, .max = 1e12});
    v("step_fraction", s.step_fraction,
      {.doc = "steplr: the same as a fraction of the total length; above 0 it rules instead of step_size", .min = 0, .max = 1});
    v("gamma", s.gamma, {.doc = "steplr: factor of one decay", .min = 0, .max = 10, .open_min = true});
    v("t_max", s.t_max, {.doc = "cosineannealinglr: half period, in intervals", .min = 1, .max = 1e12});
    v("eta_min", s.eta_min, {.doc = "cosineannealinglr, warmup_cosine: smallest rate, absolute", .min = 0, .max = 100});
    v("mode", s.mode, {.doc = "reducelronplateau: is a smaller or a larger value better", .choices = {"min", "max"}});
    v("factor", s.factor,
      {.doc = "reducelronplateau: factor of one reduction", .min = 0, .max = 1, .open_min = true, .open_max = true});
    v("patience", s.patience, {.doc = "reducelronplateau: bad epochs that are tolerated", .min = 0, .max = 1e9});
    v("threshold", s.threshold, {.doc = "reducelronplateau: what counts as better", .min = 0, .max = 1e6});
    v("threshold_mode", s.threshold_mode, {.doc = "reducelronplateau: relative or absolute threshold", .choices = {"rel", "abs"}});
    v("cooldown", s.cooldown, {.doc = "reducelronplateau: epochs without counting after a reduction", .min = 0, .max = 1e9});
    v("min_lr", s.min_lr, {.doc = "reducelronplateau: smallest rate", .min = 0, .max = 100});
    v("eps", s.eps, {.doc = "reducelronplateau: smaller changes of the rate are not applied", .min = 0, .max = 1});
    v("warmup_steps", s.warmup_steps,
      {.doc = "rate grows linearly over this many intervals: min(1, (i+1)/warmup_steps); not for reducelronplateau",
       .min = 0, .max = 1e12});
    v("warmup_fraction", s.warmup_fraction,
      {.doc = "the same as a fraction of the total length, used when warmup_steps is 0", .min = 0, .max = 1, .open_max = true});
    v("total_steps", s.total_steps,
      {.doc = "linear, warmup_cosine, wsd: length in intervals; 0 = the length of the stage", .min = 0, .max = 1e12});
    v("end_factor", s.end_factor, {.doc = "linear: rate at the end / base rate", .min = 0, .max = 10});
    v("decay_steps", s.decay_steps, {.doc = "wsd: length of the final decay, in intervals", .min = 0, .max = 1e12});
    v("decay_fraction", s.decay_fraction,
      {.doc = "wsd: the same as a fraction of the total length, used when decay_steps is 0", .min = 0, .max = 1});
    v("decay_shape", s.decay_shape, {.doc = "wsd: linear, or sqrt for 1 - sqrt(x)", .choices = {"linear", "sqrt"}});
    v("final_factor", s.final_factor, {.doc = "wsd: rate at the end / base rate", .min = 0, .max = 1});
  }
};

// One way to cut a matrix before orthogonalizing; exactly one member is set.
struct MuonSplit {
  std::vector<int64_t> rows;     // heights of the row blocks; their sum is the number of rows
  std::optional<int64_t> heads;  // number of equal row blocks
  bool modes = false;            // stack [.., A, B]: every leading index (mode) is a matrix; complex ones count as [A, 2B]

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("rows", s.rows, {.doc = "heights of row blocks, orthogonalized separately; must add up to the rows", .min = 1, .max = 1e9});
    v("heads", s.heads, {.doc = "number of equal row blocks", .min = 1, .max = 1e6});
    v("modes", s.modes, {.doc = "spectral weights [modes, A, B]: every mode is a matrix of its own, complex ones as [A, 2B]"});
  }
};

struct OptimizerOptions {
  std::string name = "adam";
  double lr = 1e-3;
  std::optional<double> muon_lr, adamw_lr;
  double weight_decay = 0;
  std::optional<double> muon_weight_decay, adamw_weight_decay;
  // Muon
  double muon_beta = 0.9;
  bool muon_nesterov = true;
  int64_t muon_ns_iters = 5;
  std::string muon_schedule = "polar_express";
  std::vector<std::vector<double>> muon_coefficients;
  std::string muon_scale_mode = "match_rms";
  std::optional<double> muon_scale;
  std::string muon_dtype = "auto";
  std::string muon_backend = "auto";
  std::string muon_eps_mode = "auto";
  bool normuon = false;
  double normuon_beta2 = 0.95;
  bool include_all = false;
  std::vector<std::string> include, exclude;
  std::map<std::string, MuonSplit> muon_split;
  // Adam, AdamW
  std::vector<double> betas{0.9, 0.999};
  double eps = 1e-8;
  bool amsgrad = false;
  // Muon and AdamW
  bool cautious_decay = false;
  // SGD
  double momentum = 0.9;
  bool nesterov = false;
  double dampening = 0;
  // UPS files may put the schedule here. A `scheduler` block beside `optimizer` wins.
  std::optional<SchedulerOptions> scheduler;

  bool is_hybrid() const { return name == "muon_hybrid" || name == "muon"; }

  template <class Self, class V>
  static void fields(Self& s, V& v) {
    v("name", s.name, {.doc = "optimizer; muon = muon_hybrid: Muon for matrices, AdamW for the rest",
                       .choices = {"adam", "adamw", "sgd", "muon_hybrid", "muon"}});
    v("lr", s.lr, {.doc = "learning rate of all groups", .min = 0, .max = 100});
    v("muon_lr", s.muon_lr, {.doc = "learning rate of the Muon group; default lr", .min = 0, .max = 100});
    v("adamw_lr", s.adamw_lr, {.doc = "learning rate of the AdamW group of muon_hybrid; default lr", .min = 0, .max = 100});
    v("weight_decay", s.weight_decay, {.doc = "decoupled for muon_hybrid and adamw, L2 for adam and sgd", .min = 0, .max = 100});
    v("muon_weight_decay", s.muon_weight_decay, {.doc = "of the Muon group; default weight_decay", .min = 0, .max = 100});
    v("adamw_weight_decay", s.adamw_weight_decay,
      {.doc = "of the AdamW group of muon_hybrid; default weight_decay", .min = 0, .max = 100});
    v("muon_beta", s.muon_beta,
      {.doc = "momentum of Muon", .min = 0, .max = 1, .open_max = true, .aliases = {"muon_momentum"}});
    v("muon_nesterov", s.muon_nesterov, {.doc = "Nesterov form of Muon's momentum"});
    v("muon_ns_iters", s.muon_ns_iters,
      {.doc = "steps of the orthogonalization", .min = 1, .max = 16, .aliases = {"muon_ns_steps"}});
    v("muon_schedule", s.muon_schedule,
      {.doc = "coefficients of the orthogonalization steps; custom = muon_coefficients",
       .choices = {"polar_express", "kj", "you", "cans", "deepseek_v4", "cubic5", "custom"}, .aliases = {"schedule"}});
    v("muon_coefficients", s.muon_coefficients,
      {.doc = "[a, b, c] of each step, for muon_schedule custom; the last entry repeats", .min = -1e6, .max = 1e6});
    v("muon_scale_mode", s.muon_scale_mode,
      {.doc = "size of an update of an A x B matrix: match_rms k*sqrt(max(A,B)), original k*sqrt(max(1,A/B)), spectral "
              "k*sqrt(A/B), none k, kj_compat as Keller Jordan's code",
       .choices = {"match_rms", "rms", "match_rms_adamw", "original", "spectral", "spectral_unclamped", "none", "kj_compat",
                   "keller"}});
    v("muon_scale", s.muon_scale, {.doc = "k of muon_scale_mode; default 0.2 in match_rms, else 1", .min = 0, .max = 1000});
    v("muon_dtype", s.muon_dtype,
      {.doc = "arithmetic of the orthogonalization; auto = fp32 on a CPU, bf16 on a GPU",
       .choices = {"auto", "fp32", "bf16", "fp16", "fp64"}});
    v("muon_backend", s.muon_backend,
      {.doc = "how matrices are processed; svd = exact polar factor (slow); flash and torch mean auto",
       .choices = {"auto", "loop", "batched", "fused", "svd", "flash", "torch"}});
    v("muon_eps_mode", s.muon_eps_mode,
      {.doc = "guard of the norm: scale_free none, kj norm + 1e-7, clamp max(norm, 1e-7); auto = kj in kj_compat, else scale_free",
       .choices = {"auto", "scale_free", "kj", "clamp"}});
    v("normuon", s.normuon, {.doc = "NorMuon: rows of a Muon update get equal size, from an average of their squares; the update keeps its norm"});
    v("normuon_beta2", s.normuon_beta2, {.doc = "decay rate of NorMuon's average", .min = 0, .max = 1, .open_max = true});
    v("include_all", s.include_all, {.doc = "every trainable tensor of two or more dimensions to Muon"});
    v("include", s.include, {.doc = "patterns of full parameter names that go to Muon (* and ?)"});
    v("exclude", s.exclude, {.doc = "patterns of full parameter names that go to AdamW (* and ?)"});
    v("muon_split", s.muon_split, {.doc = "pattern: {rows: [..]} or {heads: h} or {modes: true}; blocks are orthogonalized separately"});
    v("betas", s.betas, {.doc = "decay rates of Adam's two moments", .min = 0, .max = 1, .open_max = true});
    v("eps", s.eps, {.doc = "added to the root of Adam's second moment", .min = 0, .max = 1});
    v("amsgrad", s.amsgrad, {.doc = "adam, adamw: use the maximum of the second moments"});
    v("cautious_decay", s.cautious_decay,
      {.doc = "muon_hybrid, adamw: decay a weight only where the update moves it towards zero"});
    v("momentum", s.momentum, {.doc = "sgd", .min = 0, .max = 1, .open_max = true});
    v("nesterov", s.nesterov, {.doc = "sgd; needs momentum > 0 and dampening 0"});
    v("dampening", s.dampening, {.doc = "sgd", .min = 0, .max = 1});
    v("scheduler", s.scheduler, {.doc = "schedule of the learning rate; a scheduler block beside optimizer wins"});
  }
};

// Does this optimizer read the key? A key that it does not use deserves one notice.
bool uses_key(const OptimizerOptions& options, std::string_view key);
// Cross-field rules of both structs; throws Error (exit 2) whose place is "<path>.<key>".
void validate(const OptimizerOptions& options, const std::string& path = "optimizer");
void validate(const SchedulerOptions& options, const std::string& path = "scheduler");

}  // namespace ups::optim
