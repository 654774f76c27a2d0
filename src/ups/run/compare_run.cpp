#include <fcntl.h>
#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <functional>
#include <map>

#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/core/text.h"
#include "ups/run/compare_cells.h"

extern char** environ;

namespace ups::run {
namespace {

struct Job {
  std::vector<std::string> command;
  std::string log;
  std::function<void(int exit_code)> done;
};

pid_t start(const Job& job) {
  std::vector<char*> argv;
  for (const auto& a : job.command) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, STDOUT_FILENO, job.log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644);
  posix_spawn_file_actions_adddup2(&files, STDOUT_FILENO, STDERR_FILENO);
  pid_t pid = 0;
  const int rc = posix_spawn(&pid, argv[0], &files, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&files);
  if (rc != 0) throw Error(ExitCode::internal, job.command[0], std::string("cannot be started: ") + std::strerror(rc));
  return pid;
}

// In the order given, `limit` at a time: neighbours in the list run beside each other.
void run_jobs(std::deque<Job> jobs, int64_t limit) {
  std::map<pid_t, Job> running;
  while (!jobs.empty() || !running.empty()) {
    while (!jobs.empty() && static_cast<int64_t>(running.size()) < limit) {
      const pid_t pid = start(jobs.front());
      running.emplace(pid, std::move(jobs.front()));
      jobs.pop_front();
    }
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    const auto it = running.find(pid);
    if (it == running.end()) continue;
    const Job job = std::move(it->second);
    running.erase(it);
    if (WIFSIGNALED(status)) throw Error(ExitCode::internal, join(job.command, " "), fmt::format("was killed by signal {}", WTERMSIG(status)), "call compare again: it continues");
    job.done(WEXITSTATUS(status));
  }
}

// Trains those cells that have no result yet.
void train_cells(const CompareFolder& folder, const std::vector<Cell>& cells) {
  std::deque<Job> jobs;
  for (const Cell& cell : cells) {
    if (folder.result(cell)) continue;
    jobs.push_back({folder.train_command(cell), folder.log_file(cell).string(), [&folder, cell](int code) {
                      constexpr int kDiverged = static_cast<int>(ExitCode::diverged);
                      if (code != 0 && code != kDiverged)
                        throw Error(static_cast<ExitCode>(code), folder.id(cell), fmt::format("ups-train ended with exit code {}", code), "see " + folder.log_file(cell).string());
                      const CellResult r = folder.collect(cell, code);
                      log::info(fmt::format("{}: {} after {} updates in {:.0f} CPU-s", folder.id(cell),
                                            code == 0 ? fmt::format("validation {:.4g}", r.validation) : "diverged", r.updates, r.cpu_seconds));
                    }});
  }
  run_jobs(std::move(jobs), folder.args().jobs);
}

}  // namespace

int run_compare(const CompareArgs& args, const std::string& programs) {
  const CompareFolder folder(args, load_contenders(args), programs);
  log::info(fmt::format("compare: {} contenders, {} seeds each, {} CPU-s per cell; results in {}", folder.contenders().size(), args.seeds, args.cpu_seconds, args.out));
  const auto train = [&](const std::vector<Cell>& cells) { train_cells(folder, cells); };
  const auto chosen = args.choices.empty() ? choose(folder, train) : choose_as(folder, args.choices, train);
  std::vector<Cell> finals;
  for (int64_t seed = 0; seed < args.seeds; ++seed)
    for (const auto& c : chosen) {
      finals.push_back(c.cell);
      finals.back().seed = seed;
    }
  train_cells(folder, finals);
  std::deque<Job> jobs;
  for (const Cell& cell : finals) {
    if (folder.test(cell)) continue;
    jobs.push_back({folder.evaluate_command(cell), folder.log_file(cell).string(), [&folder, cell](int code) {
                      if (code != 0) throw Error(static_cast<ExitCode>(code), folder.id(cell), fmt::format("ups-eval ended with exit code {}", code), "see " + folder.log_file(cell).string());
                    }});
  }
  run_jobs(std::move(jobs), args.jobs);
  report_comparison(folder, chosen);
  return 0;
}

void add_compare_options(CLI::App& app, CompareArgs& args) {
  app.add_option("contenders", args.contenders, "two or more of [NAME=]FILE[+FILE..]; later files are laid over earlier ones")->required();
  app.add_option("--out", args.out, "folder of cells, runs and report; a second call continues there (default: runs/compare)");
  app.add_option("--stage", args.stage, "stage that is compared")->check(CLI::IsMember({"operator", "steady_prior"}));
  app.add_option("--cpu-seconds", args.cpu_seconds, "budget of a cell: training and validation (default: 120)")->check(CLI::Range(0.1, 1e7));
  app.add_option("--seeds", args.seeds, "seeds of the final runs (default: 3)")->check(CLI::Range(int64_t{1}, int64_t{1000}));
  app.add_option("--jobs", args.jobs, "cells at a time, one thread each (default: 1)")->check(CLI::Range(int64_t{1}, int64_t{1024}));
  app.add_option("--lr-factors", args.lr_factors, "grid on each file's learning rate, by validation on one seed (default: 0.333,1,3)")->delimiter(',')->check(CLI::Range(1e-9, 1e9));
  app.add_option("--optimizers", args.optimizers, "optimizers to choose from in the same way, for example adamw,muon_hybrid (default: each file's own)")
      ->delimiter(',')->check(CLI::IsMember({"adam", "adamw", "sgd", "muon_hybrid"}));
  app.add_option("--choices", args.choices, "folder of a finished comparison: its optimizers and factors on the learning rates are taken, --optimizers and --lr-factors are not searched");
  app.add_option("--set", args.sets, "KEY=VALUE for every contender")->allow_extra_args(false);
}

}  // namespace ups::run
