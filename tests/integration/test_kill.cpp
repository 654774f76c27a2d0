// SIGKILL at arbitrary moments of real processes, then resume: the final weights equal the uninterrupted run's byte for byte.
#define UPS_TEST_WITH_TORCH
#include <ATen/core/Tensor.h>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "run_fixture.h"
#include "test_common.h"

using namespace ups;
namespace fs = std::filesystem;

namespace {

int shell(const std::string& command) { return std::system(command.c_str()); }

std::string train_command(const fs::path& run, const std::string& stage) {
  return std::string(UPS_BINARY_DIR) + "/ups-train --config " + test::tiny_config() + " --stage " + stage + " --run-dir " + run.string() +
         " --resume=auto --progress none --quiet --set stages." + stage + ".epochs=24 --allow-config-change >> " +
         (test::scratch() / "kill.log").string() + " 2>&1";
}

}  // namespace

TEST_CASE("killed and resumed, every stage ends with the same bytes", "[kill]") {
  const fs::path base = test::scratch() / "base";
  REQUIRE(test::train("all", base) == 0);
  int killed = 0;
  for (const std::string stage : {"operator", "diff_residual", "consistency_distill", "steady_prior"}) {
    INFO(stage);
    const fs::path straight = test::copy_run(base, "straight-" + stage), broken = test::copy_run(base, "broken-" + stage);
    for (const auto& run : {straight, broken}) {
      fs::remove_all(run / "ckpt" / stage);
      if (stage == "operator") fs::remove_all(run / "ckpt/diff_residual");
      if (stage == "operator" || stage == "diff_residual") fs::remove_all(run / "ckpt/consistency_distill");
      fs::remove(run / "metrics.jsonl");
    }
    REQUIRE(shell(train_command(straight, stage)) == 0);
    // Ever later kills: during start-up, training, commits; then to the end. --foreground: timeout survives its own SIGKILL and waits for the dead.
    bool finished = false;
    for (int tenths = 3; tenths <= 11 && !finished; ++tenths) {
      const int status = shell("timeout --foreground -s KILL " + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " " + train_command(broken, stage));
      finished = status == 0;
      killed += finished ? 0 : 1;
    }
    REQUIRE(shell(train_command(broken, stage)) == 0);
    const auto a = test::newest_files(straight, stage), b = test::newest_files(broken, stage);
    REQUIRE(a.size() >= 3);
    for (const auto& [name, bytes] : a) {
      INFO(name);
      CHECK(bytes == b.at(name));
    }
    CHECK(test::stable_records(straight) == test::stable_records(broken));
  }
  CHECK(killed >= 4);  // the kills did hit running processes
}

TEST_CASE("a signal saves and exits with its code", "[kill]") {
  const fs::path run = test::scratch() / "signal";
  const std::string config = test::tiny_config(), program = std::string(UPS_BINARY_DIR) + "/ups-train", directory = run.string();
  const pid_t child = ::fork();
  if (child == 0) {
    ::execl(program.c_str(), program.c_str(), "--config", config.c_str(), "--stage", "operator", "--run-dir", directory.c_str(), "--progress",
            "none", "--quiet", "--set", "stages.operator.epochs=100000", static_cast<char*>(nullptr));
    ::_exit(99);
  }
  // The first record is written when training has begun.
  int status = 0;
  pid_t ended = 0;
  while (ended == 0 && (!fs::exists(run / "metrics.jsonl") || fs::file_size(run / "metrics.jsonl") == 0)) {
    ::usleep(20000);
    ended = ::waitpid(child, &status, WNOHANG);
  }
  REQUIRE(ended == 0);
  ::kill(child, SIGTERM);
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 143);
  CHECK(fs::exists(run / "ckpt/operator"));
  CHECK_FALSE(test::newest_files(run, "operator").empty());
}
