// One cell of a comparison: a contender, an optimizer, a factor on its learning rate and a seed. What it cost and reached is one JSON file.
#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "ups/run/compare.h"

namespace ups::run {

struct Contender {
  std::string name;
  std::vector<std::string> files;
  std::string optimizer_block;           // "optimizer", or "stages.<stage>.optimizer" where the stage has its own
  std::string optimizer;                 // of the files
  std::map<std::string, double> rates;   // lr, and muon_lr and adamw_lr where the files set them
};

struct Cell {
  size_t contender = 0;
  std::string optimizer;
  double factor = 1;
  int64_t seed = 0;
  friend bool operator==(const Cell&, const Cell&) = default;
};

struct CellResult {
  std::string command, split_hash;
  int exit_code = 0;                     // of ups-train; 5 = diverged
  double validation = 0, cpu_seconds = 0;
  int64_t updates = 0, parameters = 0;
};

// Scores of one run on the test split.
struct TestResult {
  double one_step = 0, rollout = 0;      // nRMSE; for steady sets rollout is not a number
  double persistence = 0, climatology = 0;  // of the same kind as score()
  std::vector<double> time, error_over_time;  // rollout nRMSE per frame, mean over channels
  double score() const;                  // rollout, or one_step for steady sets
};

class CompareFolder {
 public:
  CompareFolder(const CompareArgs& args, std::vector<Contender> contenders, std::string programs);
  const CompareArgs& args() const { return args_; }
  const std::vector<Contender>& contenders() const { return contenders_; }
  std::string id(const Cell& cell) const;
  std::filesystem::path run_dir(const Cell& cell) const;
  std::filesystem::path log_file(const Cell& cell) const;
  std::vector<std::string> train_command(const Cell& cell) const;
  std::vector<std::string> evaluate_command(const Cell& cell) const;
  // The stored result; none if the cell was not run. Exit 2 when it was run by another command.
  std::optional<CellResult> result(const Cell& cell) const;
  // Reads the run directory and writes the cell's file.
  CellResult collect(const Cell& cell, int exit_code) const;
  std::optional<TestResult> test(const Cell& cell) const;  // none before ups-eval ran

 private:
  CompareArgs args_;
  std::vector<Contender> contenders_;
  std::string programs_;
};

// Parses [NAME=]FILE[+FILE..] and the files; exit 2 when they do not share data.
std::vector<Contender> load_contenders(const CompareArgs& args);

struct Chosen {
  Cell cell;               // seed 0
  CellResult result;
  std::string how;         // for the table: "1 of 4"
};
using TrainCells = std::function<void(const std::vector<Cell>&)>;  // trains those that have no result yet
// By validation on seed 0. Exit 2 when the cells do not share a split, exit 5 when a contender diverges in all.
std::vector<Chosen> choose(const CompareFolder& folder, const TrainCells& train);
// What the finished comparison in folder `other` chose; exit 2 when it is none or lacks a contender.
std::vector<Chosen> choose_as(const CompareFolder& folder, const std::string& other, const TrainCells& train);

// A row of a finished comparison's compare.json.
struct StoredChoice {
  std::string contender, optimizer;
  double factor = 1, cpu_seconds = 0;
  std::string stage;
};
std::vector<StoredChoice> stored_choices(const std::string& folder);

// Table, compare.json, compare.md and compare.svg in args.out.
void report_comparison(const CompareFolder& folder, const std::vector<Chosen>& chosen);

}  // namespace ups::run
