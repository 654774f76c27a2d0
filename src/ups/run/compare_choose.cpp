// Which optimizer and learning rate a contender's final runs use.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "ups/core/error.h"
#include "ups/run/compare_cells.h"

namespace ups::run {
namespace {

// The optimizers that each contender may use.
std::vector<std::vector<std::string>> allowed_optimizers(const CompareFolder& folder) {
  std::vector<std::vector<std::string>> out;
  for (const Contender& c : folder.contenders()) out.push_back(folder.args().optimizers.empty() ? std::vector<std::string>{c.optimizer} : folder.args().optimizers);
  return out;
}

// Cells of seed 0, contenders of one optimizer and rate beside each other.
std::vector<Cell> grid(const std::vector<std::vector<std::string>>& optimizers, const std::vector<double>& factors) {
  std::vector<Cell> out;
  for (size_t o = 0; o < optimizers[0].size(); ++o)
    for (const double factor : factors)
      for (size_t c = 0; c < optimizers.size(); ++c) out.push_back({c, optimizers[c][o], factor, 0});
  return out;
}

std::string best_optimizer(const CompareFolder& folder, const std::vector<Cell>& cells, size_t contender) {
  const Cell* best = nullptr;
  for (const Cell& cell : cells) {
    if (cell.contender != contender) continue;
    if (!best || folder.result(cell)->validation < folder.result(*best)->validation) best = &cell;
  }
  return best->optimizer;
}

void require_one_split(const CompareFolder& folder, const std::vector<Cell>& cells) {
  std::string split;
  for (const Cell& cell : cells) {
    const CellResult r = folder.result(cell).value();
    if (split.empty()) split = r.split_hash;
    if (!r.split_hash.empty() && r.split_hash != split)
      throw usage_error(folder.id(cell), "was trained on another split than " + folder.id(cells[0]), "give all contenders the same data block");
  }
}

std::vector<Chosen> best_cells(const CompareFolder& folder, const std::vector<Cell>& cells) {
  std::vector<Chosen> out(folder.contenders().size());
  std::vector<size_t> tried(out.size(), 0);
  for (auto& c : out) c.result.validation = INFINITY;
  require_one_split(folder, cells);
  for (const Cell& cell : cells) {
    const CellResult r = folder.result(cell).value();
    Chosen& best = out[cell.contender];
    tried[cell.contender] += 1;
    if (r.validation < best.result.validation) {
      best.cell = cell;
      best.result = r;
    }
  }
  for (size_t c = 0; c < out.size(); ++c) {
    out[c].how = fmt::format("1 of {}", tried[c]);
    if (!std::isfinite(out[c].result.validation)) throw Error(ExitCode::diverged, folder.contenders()[c].name, "diverged in every cell", "lower its learning rate");
  }
  return out;
}

}  // namespace

std::vector<Chosen> choose(const CompareFolder& folder, const TrainCells& train) {
  // The optimizer is chosen at the middle rate, the rate with that optimizer.
  const auto& factors = folder.args().lr_factors;
  auto optimizers = allowed_optimizers(folder);
  const double middle = factors[factors.size() / 2];
  auto cells = grid(optimizers, {middle});
  train(cells);
  for (size_t c = 0; c < optimizers.size(); ++c) optimizers[c] = {best_optimizer(folder, cells, c)};
  std::vector<double> others;
  std::copy_if(factors.begin(), factors.end(), std::back_inserter(others), [&](double f) { return f != middle; });
  const auto more = grid(optimizers, others);
  train(more);
  cells.insert(cells.end(), more.begin(), more.end());
  return best_cells(folder, cells);
}

std::vector<Chosen> choose_as(const CompareFolder& folder, const std::string& other, const TrainCells& train) {
  const auto rows = stored_choices(other);
  for (const StoredChoice& r : rows)
    if (r.stage != folder.args().stage)
      throw usage_error("--choices " + other, "compared stage " + r.stage + ", this compares " + folder.args().stage, "give a comparison of the same stage");
  std::vector<Chosen> out;
  std::vector<Cell> cells;
  for (size_t c = 0; c < folder.contenders().size(); ++c) {
    const std::string& name = folder.contenders()[c].name;
    const auto row = std::find_if(rows.begin(), rows.end(), [&](const StoredChoice& r) { return r.contender == name; });
    if (row == rows.end()) throw usage_error("--choices " + other, "has no contender " + name, "name the contenders as there");
    cells.push_back({c, row->optimizer, row->factor, 0});
  }
  train(cells);
  require_one_split(folder, cells);
  for (const Cell& cell : cells) {
    const CellResult r = folder.result(cell).value();
    const std::string& name = folder.contenders()[cell.contender].name;
    if (!std::isfinite(r.validation)) throw Error(ExitCode::diverged, name, "diverged", "compare without --choices, or lower its learning rate");
    out.push_back({cell, r, fmt::format("chosen at {:g} CPU-s", rows[0].cpu_seconds)});
  }
  return out;
}

}  // namespace ups::run
