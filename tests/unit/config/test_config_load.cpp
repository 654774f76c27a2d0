// Precedence and origins, includes, overrides, stage over global, dumps.
#include <cstdlib>

#include "config_test.h"
#include "test_common.h"
#include "ups/core/rng.h"
#include "ups/core/text.h"
#include "ups/run/init_recipes.h"
#include "ups/run/run_config_internal.h"

using namespace ups;
using config_test::contains;
using config_test::Folder;
using run::Overrides;

namespace {

Overrides with_sets(std::vector<std::string> sets) {
  Overrides o;
  o.sets = std::move(sets);
  return o;
}

// One layer that can set data.root; the index is its strength.
struct Layer {
  const char* name;
  const char* origin;
};

}  // namespace

TEST_CASE("precedence of every pair of layers, with origins") {
  // Weakest first: default, include, file, later file, environment, command line value, --set.
  for (int weak = 0; weak < 7; ++weak) {
    for (int strong = weak; strong < 7; ++strong) {
      Folder folder;
      const auto on = [&](int layer) { return layer == weak || layer == strong; };
      const auto line = [](const char* v) {
        return std::string("data:\n  root: ") + v + "\nthreads: " + (v[0] == 'b' ? "2" : v[0] == 'f' ? "3" : "4") + "\n";
      };
      const std::string base = folder.write("base.yaml", on(1) ? line("base") : "{}\n");
      const std::string file = folder.write("file.yaml", std::string("include: base.yaml\n") + (on(2) ? line("file") : ""));
      const std::string later = folder.write("later.yaml", on(3) ? line("later") : "");
      if (on(4))
        setenv("PDEBENCH_ROOT", "env", 1);
      else
        unsetenv("PDEBENCH_ROOT");
      Overrides o;
      if (on(5)) o.threads = 5;
      if (on(6)) o.sets = {"data.root=set", "threads=6"};
      const auto loaded = run::load_run_config({file, later}, o);
      unsetenv("PDEBENCH_ROOT");
      const auto origin = [&](const char* key) {
        const auto it = loaded.origins.find(key);
        return it == loaded.origins.end() ? std::string("default") : it->second;
      };
      INFO("layers " << weak << " and " << strong);
      // data.root knows no command line option, threads no environment variable.
      const int root = strong == 5 ? (weak == 5 ? 0 : weak) : strong;
      const int threads = strong == 4 ? (weak == 4 ? 0 : weak) : strong;
      const std::vector<std::string> roots = {"", "base", "file", "later", "env", "", "set"};
      const std::vector<std::string> root_origins = {
          "default", base + ":2:9", file + ":3:9", later + ":2:9", "environment PDEBENCH_ROOT", "", "--set 1"};
      CHECK(loaded.config.data.root == roots[static_cast<size_t>(root)]);
      CHECK(origin("data.root") == root_origins[static_cast<size_t>(root)]);
      const std::vector<int64_t> counts = {0, 2, 3, 4, 0, 5, 6};
      const std::vector<std::string> thread_origins = {"default", base + ":3:10", file + ":4:10", later + ":3:10",
                                                       "",        "--threads",    "--set 2"};
      CHECK(loaded.config.threads.value_or(0) == counts[static_cast<size_t>(threads)]);
      CHECK(origin("threads") == thread_origins[static_cast<size_t>(threads)]);
    }
  }
}

TEST_CASE("includes: lists in order, deep maps, null, .yaml, chains") {
  Folder f;
  f.write("a.v2.yaml", "training: {batch_size: 4, patience: 3}\noptimizer: {betas: [0.8, 0.9]}\n");
  f.write("sub/b.yaml", "include: ../c\ntraining: {batch_size: 8}\n");
  f.write("c.yaml", "seed: 5\n");
  const auto top = f.write("top.yaml", "include: [a.v2, sub/b.yaml]\ntraining: {patience: null}\n");
  const auto loaded = run::load_run_config({top}, {});
  CHECK(loaded.config.training.batch_size == 8);
  CHECK(!loaded.config.training.patience);
  CHECK(loaded.config.seed == 5);
  CHECK(loaded.config.optimizer.betas == std::vector<double>{0.8, 0.9});
  CHECK(loaded.origins.at("training.batch_size") == f.path("sub/b.yaml") + ":2:24");
  const auto hydra = f.write("hydra.yaml", "defaults: [c]\n");
  const auto old = run::load_run_config({hydra}, {});
  CHECK(old.config.seed == 5);
  CHECK(contains(old.notices.at(0), "'defaults' is read as 'include'"));
}

TEST_CASE("includes: cycle, depth, count, escape") {
  Folder f;
  f.write("x/a.yaml", "include: b.yaml\n");
  f.write("x/b.yaml", "include: a.yaml\n");
  f.write("outside.yaml", "seed: 4\n");
  f.write("x/escape.yaml", "include: ../outside.yaml\n");
  for (int i = 0; i < 10; ++i) f.write("x/d" + std::to_string(i) + ".yaml", "include: d" + std::to_string(i + 1) + ".yaml\n");
  f.write("x/d10.yaml", "seed: 1\n");
  f.write("x/one.yaml", "seed: 1\n");
  std::string many = "include: [";
  for (int i = 0; i < 33; ++i) many += "one.yaml, ";
  f.write("x/many.yaml", many + "one.yaml]\n");
  const auto error = [&](const char* name, const Overrides& o) -> std::string {
    try {
      run::load_run_config({f.path(name)}, o);
    } catch (const Error& e) {
      return e.line();
    }
    return "";
  };
  CHECK(contains(error("x/a.yaml", {}), "include cycle"));
  CHECK(contains(error("x/a.yaml", {}), "a.yaml -> "));
  CHECK(contains(error("x/d0.yaml", {}), "nested deeper than 8"));
  CHECK(error("x/d3.yaml", {}).empty());
  CHECK(contains(error("x/many.yaml", {}), "more than 32"));
  CHECK(contains(error("x/escape.yaml", {}), "leaves the folder"));
  Overrides widened;
  widened.allow_include = {f.path("")};
  CHECK(error("x/escape.yaml", widened).empty());
  std::filesystem::create_symlink(f.path("outside.yaml"), f.path("x/link.yaml"));
  f.write("x/by_link.yaml", "include: link.yaml\n");
  CHECK(contains(error("x/by_link.yaml", {}), "leaves the folder"));
}

TEST_CASE("--set: order, aliases, blocks, errors") {
  const char* text = "optimizer: {name: muon, muon_momentum: 0.9}\n";
  CHECK(config_test::load_text(text, with_sets({"training.batch_size=2", "training.batch_size=3"})).config.training.batch_size ==
        3);
  CHECK(config_test::load_text(text, with_sets({"optimizer.muon_beta=0.5"})).config.optimizer.muon_beta == 0.5);
  CHECK(config_test::load_text(text, with_sets({"optimizer.muon_momentum=0.6"})).config.optimizer.muon_beta == 0.6);
  const auto block = config_test::load_text(text, with_sets({"stages.operator={epochs: 3, grad_clip: null}"}));
  CHECK(block.config.stages.op.epochs == 3);
  CHECK(block.config.stages.op.grad_clip.has_value());
  CHECK(!*block.config.stages.op.grad_clip);
  CHECK(config_test::load_text(text, with_sets({"training.patience=", "data.files=[a b.h5, 'c,d.h5']"})).config.data.files ==
        std::vector<std::string>{"a b.h5", "c,d.h5"});
  const auto error = [&](const std::string& s) { return config_test::first_error(text, with_sets({"seed=1", s})); };
  CHECK(error("trainng.batch_size=3") == "--set 2: unknown key 'trainng.batch_size'; did you mean 'training.batch_size'?");
  CHECK(error("training.batch_size=0x10") ==
        "--set 2: training.batch_size must be an integer in [1, 1048576], found '0x10'; write 16");
  CHECK(contains(error("training.batch_size"), "has no '='"));
  CHECK(contains(error("=3"), "has no '='"));
  CHECK(contains(error("a..b=3"), "cannot read the key"));
  CHECK(contains(error("seed.x=3"), "--set 2: seed must be an integer"));
  CHECK(contains(error("notes=[1"), "cannot read the value"));
}

TEST_CASE("--set and a file give the same configuration, for random values of random keys") {
  RandomStream random(23);
  std::vector<config::KeyInfo> keys;
  for (const auto& k : run::run_schema().keys()) {
    if (!k.is_block && k.info.status == KeyStatus::honoured && !contains(k.path, "*") &&
        (k.type == "integer" || k.type == "number" || k.type == "true/false" || !k.info.choices.empty()))
      keys.push_back(k);
  }
  int agreed = 0;
  for (int i = 0; i < 1500; ++i) {
    const auto& k = keys[random.below(keys.size())];
    std::string value;
    if (!k.info.choices.empty() && random.below(4) > 0)
      value = std::string(k.info.choices[random.below(k.info.choices.size())]);
    else if (k.type == "true/false")
      value = random.below(2) ? "true" : "false";
    else if (k.type == "integer")
      value = std::to_string(random.below(40));
    else
      value = config::format_real(random.uniform(-0.2, 1.2));
    std::string file, indent;
    for (const auto& part : split(k.path, '.')) {
      file += (file.empty() ? "" : "\n") + indent + part + ":";
      indent += "  ";
    }
    file += " " + value + "\n";
    const auto outcome = [](const std::string& text, const Overrides& o) -> std::string {
      try {
        return config_test::load_text(text, o).hash;
      } catch (const config::ConfigErrors& e) {
        std::vector<std::string> lines;
        for (const auto& one : e.errors()) lines.push_back(one.message() + one.hint());
        std::sort(lines.begin(), lines.end());
        return join(lines, "\n");
      }
    };
    const std::string a = outcome(file, {}), b = outcome("", with_sets({k.path + "=" + value}));
    INFO(file);
    CHECK(a == b);
    agreed += a == b;
  }
  CHECK(agreed == 1500);
}

TEST_CASE("--unset restores the default, before --set") {
  Overrides o;
  o.unsets = {"training.batch_size", "optimizer"};
  o.sets = {"optimizer.name=sgd"};
  const auto loaded = config_test::load_text("training: {batch_size: 3, accum_steps: 2}\noptimizer: {lr: 5}\n", o);
  CHECK(loaded.config.training.batch_size == 16);
  CHECK(loaded.config.training.accum_steps == 2);
  CHECK(loaded.config.optimizer.lr == 1e-3);
  CHECK(loaded.config.optimizer.name == "sgd");
  CHECK(loaded.origins.count("training.batch_size") == 0);
  o.unsets = {"training.batchsize"};
  CHECK(config_test::first_error("", o) == "--unset 1: unknown key 'training.batchsize'; did you mean 'training.batch_size'?");
}

TEST_CASE("${env:NAME} needs permission and is never written out") {
  setenv("UPS_TEST_SECRET", "s3cret/path", 1);
  const char* text =
      "data:\n  root: ${env:UPS_TEST_SECRET}/x\n  files: ['${env:UPS_TEST_SECRET}']\n"
      "run: {name: x}\nnotes: {a: ['${env:UPS_TEST_SECRET}']}\nlogging: {wandb: {tags: '${env:UPS_TEST_SECRET}'}}\n";
  CHECK(contains(config_test::first_error(text), "c.yaml:2:9: ${env:UPS_TEST_SECRET} needs permission; add --allow-env"));
  Overrides o;
  o.allow_env = true;
  const auto loaded = config_test::load_text(text, o);
  CHECK(loaded.config.data.root == "s3cret/path/x");
  CHECK(loaded.config.data.files[0] == "s3cret/path");
  for (const auto& dump : {loaded.yaml(), loaded.json(), loaded.minimal_yaml(), loaded.origins_json()})
    CHECK_FALSE(contains(dump, "s3cret"));
  CHECK(contains(loaded.yaml(), "${env:UPS_TEST_SECRET}/x"));
  unsetenv("UPS_TEST_SECRET");
  CHECK(contains(config_test::first_error(text, o), "the environment has no 'UPS_TEST_SECRET'"));
}

TEST_CASE("--epochs, --stage and missing epochs") {
  const char* text = "stages:\n  operator: {epochs: 5}\n  diff_residual: {epochs: 0}\n  consistency_distill: {}\n";
  Overrides o;
  o.epochs = 9;
  auto c = config_test::load_text(text, o).config.stages;
  CHECK(c.op.epochs == 9);
  CHECK(c.diff_residual.epochs == 0);
  CHECK(c.consistency_distill.epochs == 0);
  o.stage = "diff_residual";
  c = config_test::load_text(text, o).config.stages;
  CHECK(c.op.epochs == 5);
  CHECK(c.diff_residual.epochs == 9);
  o.sets = {"stages.diff_residual.epochs=2"};
  CHECK(config_test::load_text(text, o).config.stages.diff_residual.epochs == 2);
  Overrides alone;
  alone.stage = "consistency_distill";
  const auto one = config_test::load_text(text, alone);
  CHECK(one.config.stages.consistency_distill.epochs == 1);
  CHECK(contains(one.notices.at(0), "stages.consistency_distill.epochs is not set: 1 epoch"));
  alone.stage = "steady_prior";
  CHECK(config_test::load_text(text, alone).config.stages.steady_prior.epochs == 0);
  alone.stage = "opertor";
  CHECK(contains(config_test::first_error(text, alone), "unknown stage 'opertor'; did you mean 'operator'?"));
}

TEST_CASE("--seed wins over training.seed") {
  CHECK(run::effective_seed(config_test::load_text("seed: 3\n").config) == 3);
  CHECK(run::effective_seed(config_test::load_text("seed: 3\ntraining: {seed: 4}\n").config) == 4);
  Overrides o;
  o.seed = 5;
  CHECK(run::effective_seed(config_test::load_text("seed: 3\ntraining: {seed: 4}\n", o).config) == 5);
}

TEST_CASE("stage over global") {
  const auto loaded = config_test::load_text(
      "training: {batch_size: 4, grad_clip: 2.0, ema_decay: 0.9, patience: 3, amp: true, amp_dtype: fp16, nan_policy: abort}\n"
      "optimizer: {name: adamw, lr: 0.01, weight_decay: 0.1, scheduler: {name: steplr, step_size: 7}}\n"
      "stages:\n"
      "  operator: {epochs: 5}\n"
      "  diff_residual: {grad_clip: null, ema_decay: null, patience: null, amp: null, optimizer: {name: sgd}}\n"
      "  consistency_distill: {batch_size: 8, accum_steps: 3, grad_clip: ema, nan_policy: skip, scheduler: {name: constant}}\n");
  using Clip = train::StageSettings::Clip;
  const auto op = run::resolve_stage(loaded.config, "operator");
  CHECK(op.optimizer.lr == 0.01);
  CHECK(op.scheduler.name == "steplr");
  CHECK(op.scheduler.step_size == 7);
  CHECK(op.clip == Clip::fixed);
  CHECK(op.clip_norm == 2.0);
  CHECK(op.ema_decay == 0.9);
  CHECK(op.patience == 3);
  CHECK(op.amp);
  CHECK(op.amp_dtype == "float16");
  CHECK(op.nan_policy == "abort");
  const auto diff = run::resolve_stage(loaded.config, "diff_residual");
  CHECK(diff.optimizer.name == "sgd");
  CHECK(diff.optimizer.lr == 1e-3);  // not the global 0.01: the block is replaced whole
  CHECK(diff.optimizer.weight_decay == 0);
  CHECK(diff.scheduler.name == "steplr");
  CHECK(diff.clip == Clip::off);
  CHECK(!diff.ema_decay);
  CHECK(!diff.patience);
  CHECK(!diff.amp);
  CHECK(diff.batch_size == 4);
  const auto distill = run::resolve_stage(loaded.config, "consistency_distill");
  CHECK(distill.batch_size == 8);
  CHECK(distill.accum_steps == 3);
  CHECK(distill.clip == Clip::ema);
  CHECK(distill.ema_decay == 0.9);
  CHECK(distill.scheduler.name == "constant");
  CHECK(distill.nan_policy == "skip");
  CHECK(contains(join(loaded.notices, "\n"),
                 "stages.diff_residual.optimizer has no lr: the default 0.001 is used, not the global 0.01"));
}

TEST_CASE("reference semantics drop what the reference's loops ignore") {
  const auto c =
      config_test::load_text(
          "training: {semantics: reference, grad_clip: 1.0, ema_decay: 0.9}\noptimizer: {betas: [0.5, 0.6], eps: 1.0e-3}\n")
          .config;
  const auto steady = run::resolve_stage(c, "steady_prior");
  CHECK(steady.reference_semantics);
  CHECK(steady.optimizer.betas == std::vector<double>{0.9, 0.999});
  CHECK(steady.optimizer.eps == 1e-8);
  CHECK(steady.clip == train::StageSettings::Clip::off);
  CHECK(!steady.ema_decay);
  CHECK(run::resolve_stage(c, "operator").clip == train::StageSettings::Clip::fixed);
}

TEST_CASE("a global --set that a stage block hides is noticed") {
  const char* text = "stages:\n  operator: {epochs: 1, optimizer: {name: adamw, lr: 0.1}, grad_clip: 1.0}\n";
  const auto notices = join(config_test::load_text(text, with_sets({"optimizer.lr=0.5", "training.grad_clip=3"})).notices, "\n");
  CHECK(contains(notices, "--set 1: optimizer.lr has no effect on stage operator"));
  CHECK(contains(notices, "--set 2: training.grad_clip has no effect on stage operator"));
  Overrides other = with_sets({"optimizer.lr=0.5"});
  other.stage = "diff_residual";
  CHECK_FALSE(contains(join(config_test::load_text(text, other).notices, "\n"), "no effect on stage operator"));
}

TEST_CASE("load, dump, load is the identity and needs no notices") {
  std::vector<std::string> texts = {
      "", "notes: {a: [1, x, 'yes', null], b: \"a\\nb\"}\ndata: {field_channels: {u: 2}, holdout: {nu: [0.1, 1.0e-7]}}\n",
      "optimizer: {name: muon, muon_split: {'*.qkv.weight': {rows: [1, 2]}}, muon_schedule: custom, muon_coefficients: [[1, 2, "
      "3.5]]}\n",
      "stages: {operator: {grad_clip: null, patience: 3, scheduler: {name: wsd}}, steady_prior: {data: {files: [x.h5]}, pdet: "
      "{modes: 3}}}\n"
      "training: {grad_clip: ema, num_workers: 2}\nrun: {name: x}\nprecision: bf16\n"};
  for (const auto& name : run::recipe_names()) texts.push_back(run::recipe_text(name));
  for (const auto& text : texts) {
    const auto first = config_test::load_text(text);
    for (const auto& dump : {first.yaml(), first.json(), first.minimal_yaml()}) {
      const auto second = config_test::load_text(dump);
      INFO(dump);
      CHECK(second.hash == first.hash);
      CHECK(second.yaml() == first.yaml());
      for (const auto& n : second.notices) CHECK(std::find(first.notices.begin(), first.notices.end(), n) != first.notices.end());
    }
  }
  CHECK(config_test::load_text("").hash != config_test::load_text("seed: 18\n").hash);
  CHECK(config_test::load_text("seed: 17\ntraining: {batch_size: 16}\n").hash == config_test::load_text("{}\n").hash);
}

TEST_CASE("origins cover every key of the dump") {
  const auto loaded =
      config_test::load_text("training: {batch_size: 4}\nnotes: {a: {b: 1}}\n", with_sets({"stages.operator.optimizer.lr=0.5"}));
  const std::string json = loaded.origins_json();
  CHECK(contains(json, "\"training.batch_size\": \"c.yaml:1:24\""));
  CHECK(contains(json, "\"training.accum_steps\": \"default\""));
  CHECK(contains(json, "\"stages.operator.optimizer.lr\": \"--set 1\""));
  CHECK(contains(json, "\"stages.operator.optimizer.weight_decay\": \"default\""));
  CHECK(contains(json, "\"notes.a.b\": \"c.yaml:2:8\""));
}

TEST_CASE("changes between a run and its resume are sorted by whether they matter") {
  const auto a = config_test::load_text("training: {batch_size: 4, patience: 2}\nstages: {operator: {epochs: 3}}\n");
  const auto b =
      config_test::load_text("training: {batch_size: 8, patience: 3}\nstages: {operator: {epochs: 5}}\nlogging: {every: 5s}\n");
  const auto changes = run::compare_configs(a.json(), b.json());
  CHECK(changes.other == std::vector<std::string>{"training.batch_size: 4 -> 8"});
  CHECK(changes.resumable == std::vector<std::string>{"logging.every: \"30s\" -> \"5s\"", "stages.operator.epochs: 3 -> 5",
                                                      "training.patience: 2 -> 3"});
  CHECK(run::compare_configs(a.json(), a.json()).other.empty());
}

TEST_CASE("architecture rules") {
  const auto arch = [](const char* text) { return config_test::load_text(text).config.op.architecture(); };
  CHECK(arch("{}") == "pdet_window");
  CHECK(arch("operator: {pdet: {hidden_dim: 32}}") == "pdet_window");
  CHECK(arch("operator: {pdet: {input_dim: 32, hidden_dim: 64}}") == "pdet_unet");
  CHECK(arch("latent: {dim: 16}\noperator: {pdet: {input_dim: 16, hidden_dim: 96, group_size: 12, num_heads: 6, depths: [1, 1, "
             "1]}}") == "pdet_unet");
  const auto absent = run::operator_pdet(config_test::load_text("operator: {architecture_type: pdet_unet}\n").config);
  CHECK(absent.input_dim == 32);
  CHECK(absent.hidden_dim == 64);
  CHECK(absent.group_size == 16);
  CHECK(absent.depths == std::vector<int64_t>{1, 1, 1});
  CHECK(config_test::load_text("operator: {pdet: {patch: 2}}\n").config.data.patch_size == 2);
}
