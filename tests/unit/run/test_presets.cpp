// configs/optim/*.yaml and the functions of ups/optim/presets.h are the same optimizers.
#include <filesystem>
#include <set>

#include "test_common.h"
#include "ups/config/emit.h"
#include "ups/config/writer.h"
#include "ups/core/error.h"
#include "ups/optim/presets.h"
#include "ups/run/run_config.h"

using namespace ups;
namespace presets = optim::presets;

namespace {

std::string yaml_of(const optim::OptimizerOptions& o) { return config::to_yaml(*config::node_of(o)); }

}  // namespace

TEST_CASE("every preset equals its file in configs/optim") {
  const std::filesystem::path folder = std::string(UPS_SOURCE_DIR) + "/configs/optim";
  std::set<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) files.insert(entry.path().stem().string());
  CHECK(files.size() == presets::names().size());
  for (const auto& name : presets::names()) {
    INFO(std::string(name));
    REQUIRE(files.count(std::string(name)) == 1);
    const auto loaded = run::load_run_config({(folder / (std::string(name) + ".yaml")).string()}, {});
    CHECK(yaml_of(loaded.config.optimizer) == yaml_of(presets::by_name(name)));
  }
}

TEST_CASE("presets pass the checks of the options") {
  for (const auto& name : presets::names()) {
    const auto o = presets::by_name(name);
    CHECK_NOTHROW(optim::validate(o));
    if (o.scheduler) CHECK_NOTHROW(optim::validate(*o.scheduler));
  }
}

TEST_CASE("the values of the plans") {
  CHECK(presets::ups_operator().lr == 1e-3);
  CHECK(presets::ups_operator().weight_decay == 0.03);
  CHECK(presets::ups_operator().muon_scale == 0.2);
  CHECK(presets::ups_diff_residual().lr == 5e-5);
  CHECK(presets::ups_diff_residual().scheduler->eta_min == 3e-6);
  CHECK(presets::ups_consistency_distill().lr == 3e-5);
  CHECK(presets::ups_consistency_distill().scheduler->eta_min == 2e-6);
  CHECK(presets::vae_conservative().muon_lr == 0.01);
  CHECK(presets::vae_conservative().muon_beta == 0.95);
  CHECK(presets::vae_moderate().adamw_lr == 8e-4);
  CHECK(presets::vae_aggressive().muon_lr == 0.02);
  CHECK(presets::discriminator().name == "adamw");
}

TEST_CASE("an unknown preset is explained") {
  try {
    presets::by_name("vae_conservativ");
    FAIL("accepted");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::usage);
    CHECK(e.line().find("did you mean 'vae_conservative'?") != std::string::npos);
  }
}
