// The orthogonalizer for several small matrices of one shape at once, each in a vector lane of its own (tri_gemm.h, LaneOrth): spectral
// weights are stacks of 20 to 50 matrices of 24 x 48, of which packing and mirroring would take as long as the arithmetic.
#pragma once
#include <cstddef>
#include <cstdint>

#include "ups/optim/orthogonalize.h"

namespace ups::optim::host {

// How many fp32 matrices of this shape and number of steps are worked on together; 0: they go one by one, which gives the same bits.
int64_t orth_lanes(int64_t rows, int64_t columns, OrthVariant variant, size_t steps);
// Distance in floats from one matrix to the next, and floats of workspace.
int64_t orth_lanes_stride(int64_t rows, int64_t columns);
int64_t orth_lanes_workspace(int64_t rows, int64_t columns, OrthVariant variant);

// u: orth_lanes() row-major matrices, orth_lanes_stride() apart, of which the first `count` are orthogonalized in place; the others are
// scratch. sum_squares: of each.
void orthogonalize_lanes(float* u, int64_t count, int64_t rows, int64_t columns, const double* sum_squares, const NsSchedule& schedule,
                         EpsMode eps, OrthVariant variant, float* workspace);

}  // namespace ups::optim::host
