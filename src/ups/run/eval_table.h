// The verdict table: one row per (set, model), the same rows in the terminal, in CSV and in evaluation.json.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ups/run/evaluation.h"

namespace ups::run {

// A number column. Undefined values are NaN: null in JSON, empty in CSV, "-" in the terminal.
struct Column {
  std::string_view key;      // in JSON and CSV
  std::string_view heading;  // in the terminal; empty = not shown there
  std::string_view meaning;
};
const std::vector<Column>& table_columns();

struct TableRow {
  std::string set, model;
  std::vector<double> values;  // in the order of table_columns()
  double at(std::string_view key) const;
};

std::vector<TableRow> make_table(const std::vector<SetScores>& sets);
std::string table_text(const std::vector<TableRow>& rows);
// RFC 4180; names that a spreadsheet would run as a formula get a leading apostrophe.
std::string table_csv(const std::vector<TableRow>& rows);

struct EvaluationExtra {
  std::string run;                           // run directory or empty
  std::string mode = "pdebench";             // pdebench | pdebench-exact
  std::map<std::string, std::string> notes;  // further strings for "extra": checkpoint hashes, device ..
};
// evaluation.json: metrics, extra, per_channel, per_time, baselines, cost, table, verdict.
std::string evaluation_json(const std::vector<SetScores>& sets, const EvaluationExtra& extra);

// Writes P.json and P.csv atomically, creating the folder; returns the two paths.
std::vector<std::string> write_evaluation(const std::string& prefix, const std::vector<SetScores>& sets, const EvaluationExtra& extra);

}  // namespace ups::run
