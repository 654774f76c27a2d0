// Shape of the arrays that metrics compare: [N, T, C, cells], row-major, the last grid axis fastest.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace ups::metrics {

struct Layout {
  int64_t frames = 1, channels = 1;
  std::vector<int64_t> grid;   // 1 to 3 axes
  std::vector<double> length;  // physical extent per axis; a missing entry counts as 1
  double length_of(size_t axis) const { return axis < length.size() ? length[axis] : 1.0; }
  size_t cells() const {
    size_t n = 1;
    for (int64_t g : grid) n *= static_cast<size_t>(g);
    return n;
  }
  size_t fields() const { return static_cast<size_t>(frames * channels); }  // per sample
  size_t sample() const { return fields() * cells(); }
};

}  // namespace ups::metrics
