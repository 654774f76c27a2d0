#include "ups/optim/host_pieces.h"

#include <algorithm>

namespace ups::optim {

void HostPieces::add(size_t slot, int64_t numbers) {
  for (int64_t i = 0; i < numbers; i += kChunk) pieces_.push_back({slot, i, std::min(numbers, i + kChunk)});
}

void HostPieces::close() {
  int64_t numbers = 0;
  for (size_t k = 0; k < pieces_.size(); ++k) {
    numbers += pieces_[k].end - pieces_[k].begin;
    if (numbers < kChunk && k + 1 < pieces_.size()) continue;
    batches_.push_back(k + 1);
    numbers = 0;
  }
}

}  // namespace ups::optim
