#include "ups/run/run_config.h"

#include <algorithm>
#include <cstdlib>

#include "ups/config/errors.h"
#include "ups/config/load.h"
#include "ups/config/number.h"
#include "ups/core/text.h"
#include "ups/run/run_config_internal.h"

namespace ups::run {

using config::Entry;
using config::Findings;
using config::Loader;
using config::Node;

const std::vector<MovedKey> kMovedKeys = {{"scheduler", "optimizer.scheduler"},
                                          {"ttc.tau_range", "ttc.sampler.tau_range"},
                                          {"logging.arm_debug", "ttc.debug"},
                                          {"operator.pdet.patch", "data.patch_size"},
                                          {"baseline", "stages.baseline"}};

const config::Schema& run_schema() {
  static const config::Schema schema = config::Schema::describe(RunConfig{});
  return schema;
}

namespace {

Node* descend(Node& root, const std::vector<std::string>& parts, const config::Place& place) {
  Node* node = &root;
  for (const auto& part : parts) {
    if (node->find(part) == nullptr || node->find(part)->value.is_null()) {
      Node map = Node::map();
      map.place = place;
      node->set(part, std::move(map));
    }
    node = &node->find(part)->value;
    if (!node->is_map()) return nullptr;  // the strict reader will say what is wrong with it
  }
  return node;
}

void move_key(Node& root, const MovedKey& moved, Findings& findings) {
  auto from = split(moved.from, '.');
  auto to = split(moved.to, '.');
  const std::string old_name = from.back(), new_name = to.back();
  from.pop_back();
  to.pop_back();
  const Node* parent = root.at(join(from, "."));
  const Entry* e = parent != nullptr && parent->is_map() ? parent->find(old_name) : nullptr;
  if (e == nullptr) return;
  Entry entry = *e;
  const_cast<Node*>(parent)->erase(old_name);
  Node* target = descend(root, to, entry.place);
  if (target == nullptr) return;
  if (target->find(new_name) != nullptr)
    throw usage_error(entry.place.text(), std::string("'") + moved.from + "' and '" + moved.to + "' are two spellings of one key",
                      "keep one");
  findings.notice(entry.place, std::string("'") + moved.from + "' is read as '" + moved.to + "'");
  entry.key = new_name;
  target->entries.push_back(std::move(entry));
}

// --epochs N: the selected stage, or under `all` every stage that is on.
void put_epochs(Loader& loader, Node& root, int64_t epochs, const std::string& stage, Findings& findings) {
  const Node value = Node::plain(std::to_string(epochs));
  if (stage != "all") {
    loader.put(root, "stages." + stage + ".epochs", value, "--epochs");
    return;
  }
  bool any = false;
  for (const auto& name : kStageNames) {
    const Node* n = root.at("stages." + name + ".epochs");
    if (n == nullptr || !n->is_scalar() || config::parse_integer(n->text).value <= 0) continue;
    loader.put(root, "stages." + name + ".epochs", value, "--epochs");
    any = true;
  }
  if (!any) findings.notice({}, "ignored: --epochs (no stage has epochs > 0; name one with --stage)");
}

void put_overrides(Loader& loader, Node& root, const Overrides& o, const std::string& stage, Findings& findings) {
  for (size_t i = 0; i < o.unsets.size(); ++i) {
    const std::string where = "--unset " + std::to_string(i + 1);
    if (run_schema().find(o.unsets[i]) == nullptr) {
      const std::string near = run_schema().suggest(o.unsets[i]);
      throw usage_error(where, "unknown key '" + o.unsets[i] + "'", near.empty() ? "" : "did you mean '" + near + "'?");
    }
    loader.unset(root, o.unsets[i], where);
  }
  if (o.epochs) put_epochs(loader, root, *o.epochs, stage, findings);
  if (o.seed) {
    loader.unset(root, "training.seed", "--seed");
    loader.put(root, "seed", Node::plain(std::to_string(*o.seed)), "--seed");
  }
  if (o.threads) loader.put(root, "threads", Node::plain(std::to_string(*o.threads)), "--threads");
  if (o.device) loader.put(root, "training.device", Node::string(*o.device), "--device");
  if (o.allow_overlap) {
    loader.put(root, "data.allow_overlap", Node::plain("true"), "--allow-overlap");
    const Node* steady = root.at("stages.steady_prior.data");
    if (steady != nullptr && steady->is_map())
      loader.put(root, "stages.steady_prior.data.allow_overlap", Node::plain("true"), "--allow-overlap");
  }
  if (o.name) loader.put(root, "run.name", Node::string(*o.name), "--name");
  for (size_t i = 0; i < o.sets.size(); ++i) loader.set(root, o.sets[i], "--set " + std::to_string(i + 1));
}

// A missing stages.X.epochs: 0 under `all`, 1 under `--stage X` (steady_prior 0), as in UPS.
void fill_epochs(RunConfig& c, const std::string& stage, Findings& findings) {
  const auto fill = [&](stages::StageCommon& block, const std::string& name) {
    if (block.epochs) return;
    const bool on = stage == name && name != "steady_prior";
    block.epochs = on ? 1 : 0;
    if (on) findings.notice({}, "stages." + name + ".epochs is not set: 1 epoch");
    if (stage == name && !on) findings.notice({}, "stages." + name + ".epochs is not set: 0 epochs");
  };
  fill(c.stages.autoencoder, "autoencoder");
  fill(c.stages.op, "operator");
  fill(c.stages.diff_residual, "diff_residual");
  fill(c.stages.consistency_distill, "consistency_distill");
  fill(c.stages.steady_prior, "steady_prior");
  fill(c.stages.baseline, "baseline");
}

std::string stage_of(const Overrides& o) {
  const std::string stage = o.stage.value_or("all");
  if (stage == "all" || std::find(kStageNames.begin(), kStageNames.end(), stage) != kStageNames.end()) return stage;
  auto known = kStageNames;
  known.emplace_back("all");
  const std::string near = nearest(stage, known);
  throw usage_error("--stage", "unknown stage '" + stage + "'",
                    (near.empty() ? "" : "did you mean '" + near + "'? ") + ("one of: " + join(known, ", ")));
}

template <class AddFiles>
LoadedConfig load(const Overrides& o, AddFiles&& add_files) {
  const std::string stage = stage_of(o);
  Findings findings;
  config::LoadOptions options;
  options.allow_include = o.allow_include;
  options.allow_env = o.allow_env;
  options.prepare = [&](Node& tree) {
    for (const MovedKey& m : kMovedKeys) move_key(tree, m, findings);
    config::canonicalise(tree, run_schema());
  };
  Loader loader(options, findings);
  Node root = Node::map();
  add_files(loader, root);
  put_overrides(loader, root, o, stage, findings);

  LoadedConfig out;
  config::ReadContext context{run_schema(), findings, {}, {}};
  config::read_struct(context, root, out.config);
  if (findings.ok()) Checker(out.config, context.places, findings, stage).run();
  fill_epochs(out.config, stage, findings);
  findings.raise(o.strict);

  out.notices = findings.notices();
  for (const auto& [path, place] : context.places) {
    const config::KeyInfo* key = run_schema().find(path);
    if (key == nullptr || !key->is_block) out.origins[path] = place.text();
  }
  out.redacted = context.redacted;
  out.hash = config_hash(out);
  return out;
}

}  // namespace

LoadedConfig load_run_config(const std::vector<std::string>& files, const Overrides& overrides) {
  return load(overrides, [&](Loader& loader, Node& root) {
    for (const auto& file : files) loader.add_file(root, file);
    if (const char* pdebench = std::getenv("PDEBENCH_ROOT"); pdebench != nullptr && *pdebench != '\0')
      loader.put(root, "data.root", Node::string(pdebench), "environment PDEBENCH_ROOT");
  });
}

LoadedConfig load_run_config_text(const std::string& text, const std::string& name, const Overrides& overrides) {
  return load(overrides, [&](Loader& loader, Node& root) { loader.add_text(root, text, name); });
}

}  // namespace ups::run
