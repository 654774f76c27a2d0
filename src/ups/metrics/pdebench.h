// PDEBench's own averaging habits, for comparison with its published tables (data.md 9, mode pdebench-exact).
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "ups/metrics/layout.h"

namespace ups::metrics {

// The metrics of one batch as PDEBench prints them, averaged over frames and channels.
struct PdebenchBatch {
  double rmse = 0, nrmse = 0, crmse = 0, max_error = 0, brmse = 0;
  std::array<double, 3> frmse{};  // low, mid, high
};

// truth, prediction: [n, T, C, cells].
PdebenchBatch pdebench_batch(const Layout& layout, int64_t n, std::span<const float> truth, std::span<const float> prediction);

// Batch values are summed, a short last batch included, and divided by (batches - 1): one batch gives inf.
class PdebenchExact {
 public:
  void add(const PdebenchBatch& batch);
  PdebenchBatch result() const;
  int64_t batches() const { return batches_; }

 private:
  PdebenchBatch sum_;
  int64_t batches_ = 0;
};

}  // namespace ups::metrics
