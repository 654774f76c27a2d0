// The command line of ups-train: frozen flags, error lines, exit codes.
#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "config_test.h"
#include "test_common.h"
#include "ups/config/cli.h"
#include "ups/core/text.h"
#include "ups/run/train_cli.h"

using namespace ups;
using config_test::contains;
using config_test::Folder;

namespace {

struct Result {
  int code = -1;
  std::string out, err;
  run::TrainArgs args;
  bool trained = false;
};

// Runs the front end in this process with stdout and stderr caught.
Result call(std::vector<std::string> words) {
  static const Folder folder;
  words.insert(words.begin(), "ups-train");
  std::vector<char*> argv;
  for (auto& w : words) argv.push_back(w.data());
  Result r;
  const std::string files[2] = {folder.path("out"), folder.path("err")};
  int saved[2];
  for (int i = 0; i < 2; ++i) {
    std::fflush(nullptr);
    saved[i] = ::dup(i + 1);
    const int fd = ::open(files[i].c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0600);
    ::dup2(fd, i + 1);
    ::close(fd);
  }
  {
    CLI::App app{"Trains surrogates."};
    config::CommonFlags flags;
    run::add_train_options(app, r.args);
    config::add_common(app, flags);
    r.code = config::run_main("ups-train", static_cast<int>(argv.size()), argv.data(), app, flags, [&] {
      run::finish_train_args(app, r.args);
      if (const auto code = run::run_light_command(r.args)) return *code;
      r.trained = true;
      return 0;
    });
  }
  std::cout.flush();
  std::fflush(nullptr);
  for (int i = 0; i < 2; ++i) {
    ::dup2(saved[i], i + 1);
    ::close(saved[i]);
  }
  r.out = config_test::read_file(files[0]);
  r.err = config_test::read_file(files[1]);
  return r;
}

void check_error(std::vector<std::string> words, const std::string& part) {
  const Result r = call(words);
  INFO(join(words, " ") << "\n" << r.err);
  CHECK(r.code == 2);
  CHECK(!r.trained);
  CHECK(r.out.empty());
  CHECK(contains(r.err, part));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  CHECK(r.err.rfind("ups-train: ", 0) == 0);
  CHECK(r.err.size() < 400);
}

}  // namespace

TEST_CASE("the set of flags is frozen") {
  CLI::App app;
  run::TrainArgs args;
  config::CommonFlags flags;
  run::add_train_options(app, args);
  config::add_common(app, flags);
  std::set<std::string> found;
  const std::function<void(const CLI::App&, const std::string&)> collect = [&](const CLI::App& a, const std::string& verb) {
    for (const CLI::Option* o : a.get_options()) {
      for (const auto& n : o->get_lnames()) found.insert(verb + "--" + n);
      for (const auto& n : o->get_snames()) found.insert(verb + "-" + n);
    }
    for (const CLI::App* s : a.get_subcommands(nullptr)) collect(*s, s->get_name().empty() ? verb : s->get_name() + " ");
  };
  collect(app, "");
  const std::set<std::string> frozen = {"-h",
                                        "--help",
                                        "--version",
                                        "--log-level",
                                        "--log-json",
                                        "--quiet",
                                        "-c",
                                        "--config",
                                        "-s",
                                        "--stage",
                                        "--epochs",
                                        "--set",
                                        "--unset",
                                        "--run-dir",
                                        "--name",
                                        "--resume",
                                        "--auto-resume",
                                        "--exact",
                                        "--dry-run",
                                        "--validate",
                                        "--print-config",
                                        "--device",
                                        "--threads",
                                        "--seed",
                                        "--stop-after",
                                        "--progress",
                                        "--strict",
                                        "--allow-include",
                                        "--allow-env",
                                        "--allow-config-change",
                                        "--allow-split-change",
                                        "--allow-overlap",
                                        "--debug-sync",
                                        "--resume-from-wandb",
                                        "--resume-mode",
                                        "init -h",
                                        "init --help",
                                        "init --recipe",
                                        "init -o",
                                        "init --output",
                                        "schema -h",
                                        "schema --help",
                                        "schema --json",
                                        "schema --markdown",
                                        "doctor -h",
                                        "doctor --help"};
  CHECK(found == frozen);
}

TEST_CASE("wrong command lines end with exit code 2 and one line") {
  Folder f;
  const std::string c = f.write("c.yaml", "seed: 1\n");
  check_error({}, "--config is required");
  check_error({"trian"}, "unknown command 'trian'");
  check_error({"shema"}, "did you mean 'schema'?");
  check_error({"--config", c}, "--stage is required");
  check_error({"--config", c, "--stage", "opertor"}, "unknown stage 'opertor'; did you mean 'operator'?");
  check_error({"--config", c, "--stage", "all", "--epohcs", "3"}, "unknown option '--epohcs'; did you mean '--epochs'?");
  check_error({"--config", c, "--stage", "all", "--epochs", "1e3"}, "--epochs: must be an integer >= 0, found '1e3'; write 1000");
  check_error({"--config", c, "--stage", "all", "--epochs", "-1"}, "--epochs");
  check_error({"--config", c, "--stage", "all", "--threads", "0"}, "--threads: must be an integer >= 1");
  check_error({"--config", c, "--stage", "all", "--seed"}, "--seed: needs a value");
  check_error({"--config", c, "--stage", "all", "--resume", "auto"}, "unknown command 'auto'");
  check_error({"--config", c, "--stage", "all", "--resume"}, "--resume: needs --run-dir");
  check_error({"--config", c, "--stage", "all", "--stop-after", "5x"}, "write 500u");
  check_error({"--config", c, "--stage", "all", "--stop-after", "0u"}, "--stop-after");
  check_error({"--config", c, "--stage", "all", "--progress", "dots"}, "one of: auto, bar, plain, none");
  check_error({"--config", c, "--stage", "all", "--name", "../x"}, "--name");
  check_error({"--config", c, "--stage", "all", "--resume-from-wandb"},
              "the trainer opens no network; download the files, then --resume=PATH");
  check_error({"--config", c, "--stage", "all", "--resume-mode", "allow"}, "the trainer opens no network");
  check_error({"--config", c, "--print-config=xml"}, "one of: yaml, json, origins, minimal");
  check_error({"--config", f.path("none.yaml"), "--validate"}, "No such file");
  check_error({"--config", f.path(""), "--validate"}, "is not a regular file");
  check_error({"--config", c, "--log-level", "loud", "--validate"}, "--log-level");
  check_error({"init", "--recipe", "burger"}, "did you mean 'burgers'?");
  check_error({"--config", c, "--validate", "--set", "data.root"}, "--set 1");
  check_error({"--config", c, "--validate"}, "data.files and data.root are empty");
}

TEST_CASE("resume takes its value after '=' only") {
  Folder f;
  const std::string c = f.write("c.yaml", "seed: 1\n");
  using Resume = run::TrainArgs::Resume;
  const std::vector<std::string> base = {"--config", c, "--stage", "operator", "--run-dir", "x"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    const Result r = call(more);
    INFO(r.err);
    CHECK(r.trained);
    return r.args;
  };
  CHECK(with({}).resume == Resume::no);
  CHECK(with({"--resume"}).resume == Resume::required);
  CHECK(with({"--resume=auto"}).resume == Resume::automatic);
  CHECK(with({"--auto-resume"}).resume == Resume::automatic);
  const auto path = with({"--resume=runs/a/ckpt/operator/step-000000100"});
  CHECK(path.resume == Resume::path);
  CHECK(path.resume_path == "runs/a/ckpt/operator/step-000000100");
}

TEST_CASE("every option reaches its place") {
  Folder f;
  const std::string c = f.write("c.yaml", "seed: 1\n"), d = f.write("d.yaml", "threads: 3\n");
  const Result r = call({"-c",
                         c,
                         "--config",
                         d,
                         "-s",
                         "operator",
                         "--epochs",
                         "4",
                         "--set",
                         "training.batch_size=2",
                         "--set",
                         "seed=9",
                         "--unset",
                         "threads",
                         "--run-dir",
                         "runs/x",
                         "--device",
                         "cpu",
                         "--threads",
                         "2",
                         "--seed",
                         "8",
                         "--stop-after",
                         "30m",
                         "--exact",
                         "--progress",
                         "plain",
                         "--allow-config-change",
                         "--allow-split-change",
                         "--allow-overlap",
                         "--quiet"});
  INFO(r.err);
  REQUIRE(r.trained);
  CHECK(r.args.stop_after.seconds == 1800.0);
  CHECK(r.args.exact);
  CHECK(r.args.allow_split_change);
  const auto loaded = run::load_config(r.args);
  CHECK(loaded.config.seed == 9);
  CHECK(loaded.origins.at("seed") == "--set 2");
  CHECK(loaded.config.threads == 2);
  CHECK(loaded.config.training.device == "cpu");
  CHECK(loaded.config.data.allow_overlap);
  CHECK(loaded.config.stages.op.epochs == 4);
  CHECK(run::default_run_dir(r.args, loaded.config, 0) == "runs/x");
  run::TrainArgs named = r.args;
  named.run_dir.clear();
  CHECK(run::default_run_dir(named, loaded.config, 0) == "runs/d-19700101-000000");
  CHECK(run::parse_stop_after("500u").updates == 500);
  CHECK(run::parse_stop_after("3e").epochs == 3);
}

TEST_CASE("print, validate, init and schema write to stdout only") {
  Folder f;
  const std::string data = f.write("d.h5", "x");
  const std::string c = f.write("c.yaml", "training: {batch_size: 4}\ndata: {files: ['" + data + "']}\n");
  const Result valid = call({"--config", c, "--validate"});
  CHECK(valid.code == 0);
  CHECK(contains(valid.out, "valid: "));
  CHECK(valid.err.empty());
  CHECK(contains(call({"--config", c, "--print-config"}).out, "  batch_size: 4\n"));
  CHECK(contains(call({"--config", c, "--print-config=origins"}).out, "c.yaml:1:24"));
  CHECK(contains(call({"--config", c, "--print-config=json"}).out, "\"batch_size\": 4"));
  CHECK(call({"--config", c, "--print-config=minimal", "--unset", "data"}).out == "training:\n  batch_size: 4\n");
  const Result init = call({"init"});
  CHECK(init.code == 0);
  CHECK(config_test::errors_of(init.out).empty());
  CHECK(contains(call({"schema"}).out, "training.batch_size (integer, default 16, [1, 1048576]) [H]"));
  CHECK(call({"schema", "--json"}).out[0] == '[');
  CHECK(call({"--help"}).code == 0);
  CHECK(contains(call({"--help"}).out, "--stage"));
  CHECK(contains(call({"--version"}).out, "ups-train 0."));
  const Result missing = call({"--config", f.write("m.yaml", "data: {files: [none.h5]}\n"), "--validate"});
  CHECK(missing.code == 3);
  CHECK(contains(missing.err, "m.yaml:1:15: data file 'none.h5' does not exist"));
  const std::string fresh = f.path("new.yaml");
  CHECK(call({"init", "--output", fresh}).code == 0);
  CHECK(call({"init", "--output", fresh}).code == 7);
}

TEST_CASE("errors as JSON, several errors, exit codes of exceptions") {
  Folder f;
  const std::string c = f.write("c.yaml", "training:\n  batch_szie: 3\n  amp: yes\n");
  const Result r = call({"--config", c, "--stage", "all", "--validate", "--log-json"});
  CHECK(r.code == 2);
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 2);
  CHECK(contains(r.err, R"("message":"unknown key 'training.batch_szie'","place":")"));
  const auto code_of = [](const std::function<int()>& body) {
    CLI::App app;
    config::CommonFlags flags;
    config::add_common(app, flags);
    std::string name = "ups-train", quiet = "--quiet";
    char* argv[] = {name.data(), quiet.data()};
    return config::run_main("ups-train", 2, argv, app, flags, body);
  };
  CHECK(code_of([] { return 0; }) == 0);
  CHECK(code_of([]() -> int { throw data_error("a", "b"); }) == 3);
  CHECK(code_of([]() -> int { throw Error(ExitCode::busy, "", "in use"); }) == 8);
  CHECK(code_of([]() -> int { throw std::bad_alloc(); }) == 6);
  CHECK(code_of([]() -> int { throw std::runtime_error("boom\nstack trace"); }) == 1);
  CHECK(code_of([]() -> int { throw 5; }) == 1);
}
