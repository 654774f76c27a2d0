#include "ups/optim/orth_lanes.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>

#include "ups/optim/host_kernels.h"
#include "ups/optim/tri_gemm.h"

namespace ups::optim::host {
namespace {

constexpr int64_t kLaneSide = 48;        // larger matrices fill the packed kernels
constexpr int64_t kLaneFloats = 1 << 17;  // half of a second-level cache of 1 MiB
constexpr int64_t kLongestSum = 192;     // the packed kernels cut longer ones
constexpr size_t kLaneSteps = 16;

int64_t past_line(const float* p) { return static_cast<int64_t>(reinterpret_cast<uintptr_t>(p) / sizeof(float) % 16); }

bool gram(int64_t rows, int64_t columns, OrthVariant variant) {
  return (variant == OrthVariant::automatic ? orth_variant(rows, columns) : variant) == OrthVariant::gram;
}

}  // namespace

int64_t orth_lanes(int64_t rows, int64_t columns, OrthVariant variant, size_t steps) {
  const int64_t m = std::min(rows, columns), n = std::max(rows, columns);
  const LaneOrth& lanes = tri_gemm().lanes;
  const bool small = m > 0 && steps <= kLaneSteps && m <= kLaneSide && n <= kLongestSum && lanes.workspace(m, n, gram(rows, columns, variant)) <= kLaneFloats;
  return small ? lanes.count : 0;
}

int64_t orth_lanes_stride(int64_t rows, int64_t columns) { return (rows * columns + 15) / 16 * 16; }

int64_t orth_lanes_workspace(int64_t rows, int64_t columns, OrthVariant variant) {
  return tri_gemm().lanes.workspace(std::min(rows, columns), std::max(rows, columns), gram(rows, columns, variant)) + 16;
}

void orthogonalize_lanes(float* u, int64_t count, int64_t rows, int64_t columns, const double* sum_squares, const NsSchedule& schedule,
                         EpsMode eps, OrthVariant variant, float* workspace) {
  const int64_t stride = orth_lanes_stride(rows, columns), size = rows * columns;
  const LaneOrth& lanes = tri_gemm().lanes;
  assert(count <= lanes.count && schedule.steps.size() <= kLaneSteps);
  for (int64_t l = 0; l < lanes.count; ++l) {
    float* matrix = u + l * stride;
    const double divisor = l < count ? norm_divisor(std::sqrt(sum_squares[l]), schedule, eps) : 0;
    if (divisor > 0) normalise(matrix, size, 1 / divisor);
    else std::fill_n(matrix, size, 0.0F);
    std::fill(matrix + size, matrix + stride, 0.0F);
  }
  std::array<float, 3 * kLaneSteps> coefficients{};
  for (size_t i = 0; i < schedule.steps.size(); ++i)
    for (size_t k = 0; k < 3; ++k) coefficients[3 * i + k] = static_cast<float>(schedule.steps[i][k]);
  lanes.run(rows, columns, u, stride, coefficients.data(), static_cast<int64_t>(schedule.steps.size()),
            gram(rows, columns, variant), workspace + (16 - past_line(workspace)) % 16);
}

}  // namespace ups::optim::host
