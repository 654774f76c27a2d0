#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/train/run_dir.h"
#include "ups/train/signals.h"

using namespace ups;
using namespace ups::train;
namespace fs = std::filesystem;

namespace {
Error thrown(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  return {ExitCode::ok, "", "nothing thrown"};
}

int in_child(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}
}  // namespace

TEST_CASE("a run directory belongs to one run") {
  test::TempDir dir;
  {
    const RunDir run = RunDir::create(dir / "runs/x", "ups-train --config a");
    run.write_text("eval/deep/a.txt", "hello");
    CHECK(fs::exists(dir / "runs/x/eval/deep/a.txt"));
    const int code = in_child([&] {
      const Error e = thrown([&] { RunDir::open(dir / "runs/x", "other", RunLock::Mode::exclusive); });
      const std::string who = ":" + std::to_string(::getppid()) + " since 20";
      return e.code() == ExitCode::busy && e.message().find(who) != std::string::npos ? 8 : 1;
    });
    CHECK(code == 8);
    CHECK(in_child([&] {
            return static_cast<int>(
                thrown([&] { RunDir::open(dir / "runs/x", "ups-eval", RunLock::Mode::shared); }).code());
          }) == 8);
  }
  {
    const RunDir again = RunDir::create(dir / "runs/x", "no run in it yet");
  }
  std::ofstream(dir / "runs/x/config.yaml") << "seed: 1\n";
  const Error e = thrown([&] { RunDir::create(dir / "runs/x", ""); });
  CHECK(e.code() == ExitCode::usage);
  CHECK_THAT(e.hint(), Catch::Contains("--resume"));
  const RunDir reader = RunDir::open(dir / "runs/x", "", RunLock::Mode::shared);
  CHECK(in_child([&] {
          return static_cast<int>(thrown([&] { RunDir::open(dir / "runs/x", "", RunLock::Mode::shared); }).code());
        }) == 0);
  CHECK(in_child([&] {
          return static_cast<int>(thrown([&] { RunDir::open(dir / "runs/x", "", RunLock::Mode::exclusive); }).code());
        }) == 8);
  CHECK(thrown([&] { RunDir::open(dir / "runs/none", "", RunLock::Mode::shared); }).code() == ExitCode::checkpoint);
  std::ofstream(dir / "file") << "x";
  CHECK(thrown([&] { RunDir::create(dir / "file", ""); }).code() == ExitCode::usage);
}

TEST_CASE("twenty races for one directory have one winner each, and death frees the lock") {
  for (int race = 0; race < 20; ++race) {
    test::TempDir dir;
    int go[2], done[2];
    REQUIRE(::pipe(go) == 0);
    REQUIRE(::pipe(done) == 0);
    pid_t children[2];
    for (auto& child : children) {
      child = ::fork();
      if (child != 0) continue;
      ::close(go[1]);
      char c = 0;
      if (::read(go[0], &c, 1) < 0) ::_exit(99);  // returns at once for both when the parent closes its end
      char result = '?';
      try {
        const RunDir run = RunDir::create(dir / "run", "race");
        result = 'w';
        if (::write(done[1], &result, 1) != 1) ::_exit(99);
        for (;;) ::pause();  // hold it until killed
      } catch (const Error& e) {
        result = e.code() == ExitCode::busy && e.message().find(":") != std::string::npos &&
                         e.message().find(" since ") != std::string::npos
                     ? 'b'
                     : '!';
      }
      if (::write(done[1], &result, 1) != 1) ::_exit(99);
      ::_exit(8);
    }
    ::close(go[0]);
    ::close(go[1]);
    std::string results(2, ' ');
    for (char& r : results) REQUIRE(::read(done[0], &r, 1) == 1);
    CHECK((results == "wb" || results == "bw"));
    for (const pid_t child : children) ::kill(child, SIGKILL);
    for (const pid_t child : children) ::waitpid(child, nullptr, 0);
    ::close(done[0]);
    ::close(done[1]);
    const RunDir after = RunDir::create(dir / "run", "after the holder died");
    CHECK(fs::exists(after.path()));
  }
}

TEST_CASE("a restart right after a kill waits for the dying process") {
  test::TempDir dir;
  int ready[2];
  REQUIRE(::pipe(ready) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const RunDir run = RunDir::create(dir / "run", "dies soon");
    if (::write(ready[1], "x", 1) != 1) ::_exit(99);
    ::usleep(200000);
    ::_exit(0);
  }
  char c = 0;
  REQUIRE(::read(ready[0], &c, 1) == 1);
  CHECK(thrown([&] { RunDir::open(dir / "run", "", RunLock::Mode::exclusive); }).code() == ExitCode::busy);
  CHECK_NOTHROW(RunDir::open(dir / "run", "", RunLock::Mode::exclusive, std::chrono::seconds(60)));
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("signals ask once and leave at the second") {
  struct Case {
    std::vector<int> sent;
    int code;  // 0: still running after all of them
    int stop;
  };
  const std::vector<Case> cases{{{SIGTERM}, 0, SIGTERM},
                                {{SIGINT}, 0, SIGINT},
                                {{SIGHUP}, 0, SIGHUP},
                                {{SIGUSR1}, 0, SIGUSR1},
                                {{SIGTERM, SIGTERM}, 143, 0},
                                {{SIGINT, SIGINT}, 130, 0},
                                {{SIGHUP, SIGHUP}, 129, 0},
                                {{SIGUSR1, SIGUSR1}, 138, 0},
                                {{SIGTERM, SIGINT}, 143, 0},
                                {{SIGUSR1, SIGTERM}, 0, SIGUSR1},
                                {{SIGUSR1, SIGTERM, SIGTERM}, 138, 0},
                                {{SIGPIPE, SIGXFSZ}, 0, 0}};
  for (const auto& c : cases) {
    const int code = in_child([&] {
      install_signal_handlers();
      for (const int s : c.sent) ::raise(s);
      const auto stop = stop_requested();
      if (c.stop == 0) return stop ? 99 : 0;
      return stop == c.stop && exit_code_for(*stop) == 128 + c.stop ? 0 : 98;
    });
    INFO(c.sent[0] << " " << c.sent.size());
    CHECK(code == c.code);
  }
  CHECK(in_child([] {
          install_signal_handlers();
          for (int k = 0; k < 3; ++k) ::raise(SIGUSR2);
          const bool first = take_checkpoint_request(), second = take_checkpoint_request();
          return first && !second && !stop_requested() ? 0 : 1;
        }) == 0);
}

TEST_CASE("the small files of a run") {
  ::setenv("UPS_TEST_VARIABLE", "1", 1);
  ::setenv("SLURM_JWT", "secret", 1);
  ::setenv("WANDB_API_KEY", "secret", 1);
  ::setenv("UPS_API_TOKEN", "secret", 1);
  const std::string env = env_json({{"device", "cpu\x1b"}});
  CHECK(env.find("secret") == std::string::npos);
  const auto j = nlohmann::json::parse(env);
  CHECK(j["variables"]["UPS_TEST_VARIABLE"] == "1");
  CHECK(j["facts"]["device"] == "cpu\\x1B");
  const auto status = nlohmann::json::parse(stage_status_json(
      {{.stage = "operator", .status = "completed", .checkpoint = "operator.pt", .epoch = 3, .total_epochs = 3}}));
  CHECK(status["schema_version"] == 1);
  CHECK(status["stages"]["operator"]["error_message"].is_null());
  CHECK(status["stages"]["operator"]["total_epochs"] == 3);
  const auto meta = nlohmann::json::parse(metadata_json(
      {.arch = {{"latent_dim", 16}}, .operator_depths = {1, 1, 1}, .config_hash = "ab", .config_path = "c.yaml"}));
  CHECK(meta["arch"]["operator_depths"].size() == 3);
  CHECK(meta["ups_loadable"] == false);
  CHECK(thrown([] { default_run_path("../x"); }).code() == ExitCode::usage);
  CHECK_THAT(default_run_path("burgers").string(), Catch::StartsWith("runs/burgers-20"));
}
