// The `run` and `evaluation` blocks, and the blocks of other programs' files.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ups/core/fields.h"

namespace ups::run {

struct RunOptions {
  std::optional<std::string> name;
  std::string mode, steps, dt, correct_every, corrector_tau, residual_threshold;  // UPS inference files
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kX = KeyStatus::refused;
    constexpr std::string_view kWhy = "an inference key: use ups-eval";
    v("name", s.name, {.doc = "stem of the run directory's name: [A-Za-z0-9._-]{1,64}"});
    v("mode", s.mode, {.status = kX, .advice = kWhy, .free_form = true});
    v("steps", s.steps, {.status = kX, .advice = kWhy, .free_form = true});
    v("dt", s.dt, {.status = kX, .advice = kWhy, .free_form = true});
    v("correct_every", s.correct_every, {.status = kX, .advice = kWhy, .free_form = true});
    v("corrector_tau", s.corrector_tau, {.status = kX, .advice = kWhy, .free_form = true});
    v("residual_threshold", s.residual_threshold, {.status = kX, .advice = kWhy, .free_form = true});
  }
};

struct EvaluationOptions {
  bool enabled = true, equal_compute = false;
  std::string split = "test";
  int64_t ensemble = 8;
  std::optional<int64_t> horizon, batch_size;
  std::optional<std::string> wandb_run_id;
  std::optional<bool> distributed;
  std::string checkpoint_files;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kNo = KeyStatus::no_effect;
    v("enabled", s.enabled, {.doc = "score the run after --stage all"});
    v("equal_compute", s.equal_compute,
      {.doc = "--stage all also trains the operator alone for the CPU time of operator and corrector together, as a control row"});
    v("split", s.split, {.doc = "which trajectories are scored", .choices = {"test", "val", "train"}});
    v("ensemble", s.ensemble, {.doc = "members per sample of stochastic models", .min = 1, .max = 4096});
    v("horizon", s.horizon, {.doc = "rollout steps; default to the end of the trajectories", .min = 1, .max = 1000000});
    v("batch_size", s.batch_size, {.doc = "trajectories per forward pass; default training.batch_size", .min = 1, .max = 1048576});
    v("wandb_run_id", s.wandb_run_id, {.status = kNo, .advice = "the programs open no network"});
    v("checkpoint_files", s.checkpoint_files, {.status = kNo, .advice = "ups-eval finds the files of a run itself", .free_form = true});
    v("distributed", s.distributed, {.status = kNo, .advice = "evaluation runs in one process"});
  }
};

// Blocks of UPS inference and sweep files: refused with the program that reads them.
struct ForeignBlocks {
  std::string models, outputs, rollout, eval, suite, method, metric, parameters, early_terminate, command;
  template <class Self, class V>
  static void fields(Self& s, V& v) {
    constexpr auto kX = KeyStatus::refused;
    constexpr std::string_view kEval = "part of an inference file: use ups-eval";
    constexpr std::string_view kSweep = "part of a sweep file: sweeps come later";
    v("models", s.models, {.status = kX, .advice = kEval, .free_form = true});
    v("outputs", s.outputs, {.status = kX, .advice = kEval, .free_form = true});
    v("rollout", s.rollout, {.status = kX, .advice = kEval, .free_form = true});
    v("eval", s.eval, {.status = kX, .advice = kEval, .free_form = true});
    v("suite", s.suite, {.status = kX, .advice = kEval, .free_form = true});
    v("method", s.method, {.status = kX, .advice = kSweep, .free_form = true});
    v("metric", s.metric, {.status = kX, .advice = kSweep, .free_form = true});
    v("parameters", s.parameters, {.status = kX, .advice = kSweep, .free_form = true});
    v("early_terminate", s.early_terminate, {.status = kX, .advice = kSweep, .free_form = true});
    v("command", s.command, {.status = kX, .advice = kSweep, .free_form = true});
  }
};

}  // namespace ups::run
