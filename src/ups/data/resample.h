// Fewer cells per axis: PDEBench's plain striding, or the mean of blocks.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace ups::data {

class Resample {
 public:
  Resample() = default;
  // lowpass needs every axis divisible by step (exit 3 otherwise).
  Resample(std::vector<int64_t> grid, int64_t step, bool lowpass);
  bool identity() const { return step_ == 1; }
  std::vector<int64_t> grid() const;                              // after
  std::vector<double> axis(const std::vector<double>& x) const;   // coordinates after
  // in holds `images` full grids, out as many reduced ones.
  void apply(std::span<const float> in, std::span<float> out, int64_t images) const;

 private:
  std::vector<int64_t> grid_;
  int64_t step_ = 1;
  bool lowpass_ = false;
};

}  // namespace ups::data
