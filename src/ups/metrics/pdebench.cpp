#include "ups/metrics/pdebench.h"

#include <cmath>
#include <vector>

#include "ups/metrics/field_scores.h"

namespace ups::metrics {
namespace {

// In 3-D PDEBench sums the squared boundary error over channels too.
double brmse_over_channels(const Layout& layout, int64_t n, std::span<const float> truth, std::span<const float> prediction) {
  const size_t cells = layout.cells(), channels = static_cast<size_t>(layout.channels);
  std::vector<double> weight(cells, 0.0);
  double total = 0;
  for (size_t cell = 0; cell < cells; ++cell) {
    size_t rest = cell;
    for (size_t axis = layout.grid.size(); axis-- > 0;) {
      const auto size = static_cast<size_t>(layout.grid[axis]);
      weight[cell] += static_cast<double>(rest % size == 0) + static_cast<double>(rest % size == size - 1);
      rest /= size;
    }
    total += weight[cell];
  }
  double sum = 0;
  const size_t rows = static_cast<size_t>(n * layout.frames);
  for (size_t row = 0; row < rows; ++row) {
    double squares = 0;
    for (size_t i = 0; i < channels * cells; ++i) {
      const double e = static_cast<double>(prediction[row * channels * cells + i]) - truth[row * channels * cells + i];
      squares += weight[i % cells] * e * e;
    }
    sum += std::sqrt(squares / total);
  }
  return sum / static_cast<double>(rows);
}

}  // namespace

PdebenchBatch pdebench_batch(const Layout& layout, int64_t n, std::span<const float> truth, std::span<const float> prediction) {
  Layout unit = layout;
  unit.length.clear();  // PDEBench leaves the extents at 1
  FieldScores scores(unit, std::vector<double>(static_cast<size_t>(layout.frames), 0.0));
  scores.add(n, truth, prediction, {});
  const FieldResult r = scores.result();
  PdebenchBatch out;
  out.rmse = r.mean(Metric::rmse);
  out.nrmse = r.mean(Metric::nrmse);
  out.crmse = r.mean(Metric::crmse);
  out.max_error = r.mean(Metric::max_error);
  out.brmse = layout.grid.size() == 3 ? brmse_over_channels(layout, n, truth, prediction) : r.mean(Metric::brmse);
  out.frmse = {r.mean(Metric::frmse_low), r.mean(Metric::frmse_mid), r.mean(Metric::frmse_high)};
  return out;
}

void PdebenchExact::add(const PdebenchBatch& batch) {
  sum_.rmse += batch.rmse;
  sum_.nrmse += batch.nrmse;
  sum_.crmse += batch.crmse;
  sum_.max_error += batch.max_error;
  sum_.brmse += batch.brmse;
  for (size_t i = 0; i < 3; ++i) sum_.frmse[i] += batch.frmse[i];
  ++batches_;
}

PdebenchBatch PdebenchExact::result() const {
  const double n = static_cast<double>(batches_) - 1;
  PdebenchBatch r = sum_;
  for (double* v : {&r.rmse, &r.nrmse, &r.crmse, &r.max_error, &r.brmse, &r.frmse[0], &r.frmse[1], &r.frmse[2]}) *v /= n;
  return r;
}

}  // namespace ups::metrics
