// The documented status of every key, the shipped files, the generated reference.
#include <nlohmann/json.hpp>

#include "config_test.h"
#include "test_common.h"
#include "ups/core/text.h"
#include "ups/run/docs.h"
#include "ups/run/init_recipes.h"
#include "ups/run/run_config_internal.h"

using namespace ups;
using config_test::contains;

namespace {

// Every key of cli.md section 6 in UPS's spelling, with the status it is documented to have.
// H: loads without a notice about it, unless the key is listed in kNoEffectYet. N: loads, one notice "ignored: <canonical>". X:
// refused.
struct Case {
  const char* yaml;
  char status;
  const char* key;  // canonical path
};
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
#include "ups_keys.inc"
  };
  return all;
}

}  // namespace

TEST_CASE("keys in UPS's spelling have their documented status") {
  std::map<char, int> count;
  for (const Case& c : cases()) {
    const auto errors = config_test::errors_of(c.yaml);
    INFO(c.yaml << "\n" << (errors.empty() ? "" : errors[0]));
    ++count[c.status];
    if (c.status == 'X') {
      REQUIRE(errors.size() == 1);
      CHECK(contains(errors[0], c.key));
      CHECK_FALSE(contains(errors[0], "unknown key"));
      continue;
    }
    REQUIRE(errors.empty());
    const std::string notices = join(config_test::load_text(c.yaml).notices, "\n");
    INFO(notices);
    const bool ignored = contains(notices, std::string("ignored: ") + c.key);
    CHECK(ignored == (c.status != 'H' || run::has_no_effect_yet(c.key)));
    if (run::run_schema().find(c.key) == nullptr) FAIL("not a key: " << c.key);
  }
  std::printf("keys: %d H, %d R, %d N, %d X\n", count['H'], count['R'], count['N'], count['X']);
}

TEST_CASE("reference keys act when the reference is chosen") {
  const char* text = "training: {semantics: reference, dt: 0.2, tau_distribution: {type: beta}}\n";
  for (const auto& n : config_test::load_text(text).notices) CHECK_FALSE(contains(n, "training.tau"));
}

TEST_CASE("keys without effect yet are real, honoured keys") {
  for (const auto& path : run::kNoEffectYet) {
    INFO(path);
    REQUIRE(run::run_schema().find(path) != nullptr);
    CHECK(run::run_schema().find(path)->info.status != KeyStatus::refused);
  }
}

TEST_CASE("strict mode turns notices into errors with places") {
  run::Overrides o;
  o.strict = true;
  CHECK(config_test::first_error("training:\n  compile_mode: x\n", o) ==
        "c.yaml:2:3: ignored: training.compile_mode (has no meaning outside Python)");
}

TEST_CASE("every shipped configuration loads") {
  int count = 0;
  const std::string folder = std::string(UPS_SOURCE_DIR) + "/configs";
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    const bool fragment = entry.path().parent_path() != folder;  // made to be included
    INFO(entry.path().string());
    const auto loaded = run::load_run_config({entry.path().string()}, {});
    CHECK(loaded.notices.empty());
    CHECK(loaded.config.data.files.empty() == fragment);
    ++count;
  }
  CHECK(count >= 5);
}

TEST_CASE("every recipe of init loads without a notice and names its data") {
  CHECK(run::recipe_names().front() == "burgers");
  for (const auto& name : run::recipe_names()) {
    const auto loaded = config_test::load_text(run::recipe_text(name));
    INFO(name << ": " << join(loaded.notices, "; "));
    CHECK(loaded.notices.empty());
    REQUIRE(loaded.config.data.files.size() == 1);
    CHECK(contains(run::recipe_text(name), "-o " + loaded.config.data.files[0]));
  }
  CHECK_THROWS_AS(run::recipe_text("burger"), Error);
}

TEST_CASE("the operator of a recipe is the one that was measured: that of the shipped configuration") {
  const std::vector<std::pair<std::string, std::string>> pairs{
      {"burgers", "burgers_nu0.01"}, {"advection", "advection_beta1"}, {"ks", "ks"}, {"diffreact", "diffreact"}, {"ns", "ns2d"}, {"darcy", "darcy"}};
  for (const auto& [recipe, file] : pairs) {
    INFO(recipe);
    run::Overrides named;
    named.sets = {"operator.architecture_type=pdet_window"};  // recipes write the default out
    const auto a = config_test::load_text(run::recipe_text(recipe)), b = run::load_run_config({std::string(UPS_SOURCE_DIR) + "/configs/" + file + ".yaml"}, named);
    // The block `operator:` of the resolved configuration.
    const auto block = [](const std::string& yaml) {
      const size_t from = yaml.find("\noperator:");
      size_t end = yaml.find('\n', from + 1);
      while (end + 1 < yaml.size() && yaml[end + 1] == ' ') end = yaml.find('\n', end + 1);
      return yaml.substr(from, end - from);
    };
    CHECK(contains(block(a.yaml()), "modes"));
    CHECK(block(a.yaml()) == block(b.yaml()));
    CHECK(a.config.stages.op.rollout.mode == b.config.stages.op.rollout.mode);
    CHECK(a.config.stages.op.rollout.noise == b.config.stages.op.rollout.noise);
    CHECK(a.config.data.patch_size == b.config.data.patch_size);
    CHECK(a.config.training.batch_size == b.config.training.batch_size);
    CHECK(a.config.stages.op.epochs == b.config.stages.op.epochs);
    CHECK(run::resolve_stage(a.config, "operator").optimizer.name == run::resolve_stage(b.config, "operator").optimizer.name);
    CHECK(run::resolve_stage(a.config, "operator").optimizer.lr == run::resolve_stage(b.config, "operator").optimizer.lr);
  }
}

TEST_CASE("docs/reference/config.md is what the code says") {
  const std::string path = std::string(UPS_SOURCE_DIR) + "/docs/reference/config.md";
  INFO("update it: ups-train schema --markdown > docs/reference/config.md");
  CHECK((config_test::read_file(path) == run::config_reference()));
}

TEST_CASE("every honoured key is documented and in the JSON schema") {
  const auto json = nlohmann::json::parse(run::schema_json());
  CHECK(json.size() == run::run_schema().keys().size());
  for (const auto& k : run::run_schema().keys()) {
    INFO(k.path);
    CHECK((k.info.status != KeyStatus::honoured || !k.info.doc.empty()));
    CHECK((k.info.status != KeyStatus::refused || !k.info.advice.empty()));
    CHECK((k.info.status != KeyStatus::no_effect || !k.info.advice.empty()));
    if (!k.info.choices.empty() && k.type == "text" && k.default_text != "null" && k.default_text != "\"\"") {
      CHECK(std::find(k.info.choices.begin(), k.info.choices.end(), k.default_text) != k.info.choices.end());
    }
  }
}
