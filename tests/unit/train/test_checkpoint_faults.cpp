// Kills and disk errors at every file call of a commit (reliability.md 12, rows A and D).
#include "checkpoint_support.h"
#define UPS_TEST_WITH_TORCH
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "fault_injection.h"
#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/train/checkpoint.h"

using namespace ups;
using namespace ups::train;
using test::Fault;
using test::make_content;
using test::same_content;
namespace fs = std::filesystem;

namespace {

struct Scene {
  test::TempDir dir;
  CheckpointStore store{dir / "ckpt", 1};
  Scene() { store.commit(make_content("operator", 100), true); }

  // The older or the newer checkpoint loads, nothing else is left, and the next commit works.
  int64_t recover() {
    store.clean();
    const auto c = store.load_newest("operator");
    REQUIRE(c);
    CHECK((c->step == 100 || c->step == 200));
    CHECK(same_content(*c, make_content("operator", c->step)));
    store.commit(make_content("operator", 300), false);
    REQUIRE(store.load_newest("operator")->step == 300);
    for (const auto& e : fs::directory_iterator(dir / "ckpt/operator")) {
      const std::string name = e.path().filename().string();
      CHECK(name[0] != '.');
      CHECK(name.find("corrupt") == std::string::npos);
    }
    return c->step;
  }
};

int count_calls(std::string* trace) {
  Scene scene;
  test::arm({});
  scene.store.commit(make_content("operator", 200), false);
  const int n = test::disarm();
  if (trace != nullptr) *trace = test::trace();
  return n;
}

}  // namespace

TEST_CASE("the commit syncs files before the manifest, the directory before the rename, the parent after it") {
  std::string t;
  count_calls(&t);
  size_t at = 0;
  const auto next = [&](const std::string& what) {
    INFO(what << " in\n" << t);
    const size_t found = t.find(what, at);
    REQUIRE(found != std::string::npos);
    at = found + what.size();
  };
  for (const char* file :
       {"model.safetensors", "ema.safetensors", "optim.safetensors", "rng.safetensors", "state.json", "MANIFEST.json"}) {
    next(std::string("openat ") + file + "\n");
    next("fsync\nclose\n");
  }
  next("fsync\nrenameat2 step-000000200\n");
  next("fsync\n");
  next("index.jsonl\n");
  next("fsync\n");
  next("fsync\nclose\nrenameat last\nfsync\n");
}

TEST_CASE("SIGKILL at every call of a commit loses nothing that was committed") {
  const int n = count_calls(nullptr);
  CHECK(n >= 60);
  int old = 0, fresh = 0;
  for (int k = 1; k <= n; ++k) {
    INFO("call " << k);
    Scene scene;
    const pid_t child = ::fork();
    if (child == 0) {
      test::arm({Fault::kill, k, 0});
      scene.store.commit(make_content("operator", 200), false);
      ::_exit(0);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGKILL);
    (scene.recover() == 100 ? old : fresh) += 1;
  }
  CHECK(old > 30);   // before the rename
  CHECK(fresh > 3);  // after it
}

TEST_CASE("disk errors leave the older checkpoint, and a single one is survived") {
  log::set_level(log::Level::off);
  const int n = count_calls(nullptr);
  int failures = 0, successes = 0;
  const auto attempt = [&](const Fault& fault) {
    INFO("call " << fault.at << " errno " << fault.number << " kind " << static_cast<int>(fault.kind));
    Scene scene;
    bool ok = true;
    test::arm(fault);
    try {
      scene.store.commit(make_content("operator", 200), false);
      test::disarm();
    } catch (const Error& e) {
      test::disarm();
      ok = false;
      CHECK(e.code() == ExitCode::io);
      CHECK(std::string(e.what()).find("ckpt") != std::string::npos);
    }
    const int64_t step = scene.recover();
    if (ok) CHECK(step == 200);
    (ok ? successes : failures) += 1;
    return ok;
  };
  const int errors[] = {ENOSPC, EIO, EDQUOT, EROFS, EMFILE};
  for (int k = 1; k <= n; ++k) attempt({Fault::sticky_error, k, errors[k % 5]});
  CHECK(failures > n / 2);
  failures = successes = 0;
  for (int k = 1; k <= n; ++k) attempt({Fault::error, k, errors[(k + 2) % 5]});
  CHECK(successes > n / 2);  // one failing call is retried under a new name
  for (int k = 1; k <= n; k += 2) attempt({Fault::error, k, EINTR});
  failures = successes = 0;
  for (int k = 1; k <= n; k += 2) attempt({Fault::short_write, k, 0});
  CHECK(failures == 0);
  log::set_level(log::Level::info);
}
