// Sentences that say what each stage bought, or that it bought nothing.
#pragma once
#include <string>
#include <vector>

#include "ups/run/eval_table.h"

namespace ups::run {

std::vector<std::string> verdict(const std::vector<TableRow>& rows);
// The same, and what no row holds: the report of test-time compute.
std::vector<std::string> verdict(const std::vector<SetScores>& sets);

}  // namespace ups::run
