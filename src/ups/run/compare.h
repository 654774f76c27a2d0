// ups-eval compare: contenders trained and scored under one protocol (data.md 11). Same files and split, one thread and the same budget of
// CPU time each; learning rate (and optimizer, if asked) by validation on seed 0; the test split is read once, at the end.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace ups::run {

struct CompareArgs {
  std::vector<std::string> contenders;   // [NAME=]FILE[+FILE..], later files over earlier ones
  std::string out = "runs/compare";      // --out: cells, runs, report; a second call continues
  std::string stage = "operator";        // --stage operator | steady_prior
  double cpu_seconds = 120;              // --cpu-seconds of training and validation per cell
  int64_t seeds = 3;                     // --seeds
  int64_t jobs = 1;                      // --jobs: cells at a time
  std::vector<double> lr_factors = {1.0 / 3, 1, 3};  // --lr-factors on the rate of each file
  std::vector<std::string> optimizers;   // --optimizers to choose from; empty = the one of each file
  std::string choices;                   // --choices: a finished comparison whose optimizers and rates are taken; empty = search
  std::vector<std::string> sets;         // --set for every contender
};

void add_compare_options(CLI::App& app, CompareArgs& args);
// Throws Error: exit 2 for files that are no configurations or do not share data, exit 5 when every cell of a contender diverged.
// `programs`: the folder of ups-train and ups-eval.
int run_compare(const CompareArgs& args, const std::string& programs);

}  // namespace ups::run
