// Parameters in host memory cut into pieces that share one elementwise update evenly between threads.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "ups/optim/parallel.h"

namespace ups::optim {

// Fixed pieces, so that results do not depend on the number of threads.
class HostPieces {
 public:
  static constexpr int64_t kChunk = 1 << 16;

  // Parameter number `slot` of the optimizer, with so many numbers; before close().
  void add(size_t slot, int64_t numbers);
  // After the last add: tiny tensors share a task.
  void close();
  // f(slot, begin, end) for every piece; `numbers`: how many of them this step works on. Allocates nothing.
  template <class F>
  void each(int64_t numbers, const F& f) const {
    const auto one = [&](int64_t batch, int64_t) {
      const auto end = batches_[static_cast<size_t>(batch)];
      for (size_t k = batch > 0 ? batches_[static_cast<size_t>(batch) - 1] : 0; k < end; ++k) f(pieces_[k].slot, pieces_[k].begin, pieces_[k].end);
    };
    const auto count = static_cast<int64_t>(batches_.size());
    if (numbers < 2 * kChunk) serial_tasks(count, one);  // a parallel region costs more than it gains
    else parallel_tasks(count, one);
  }

 private:
  struct Piece {
    size_t slot;
    int64_t begin, end;
  };
  std::vector<Piece> pieces_;
  std::vector<size_t> batches_;  // ends of the runs of pieces that make one task
};

}  // namespace ups::optim
