#include "ups/data/generators/lane_kernels.inc"
#include "ups/data/generators/lanes.h"

namespace ups::data {
extern const LaneKernels kLaneKernelsBase;
const LaneKernels kLaneKernelsBase{pass4, pass2, square, flux, combine2, stage_c, finish};
}  // namespace ups::data
