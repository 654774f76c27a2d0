// Same source as lane_kernels_base.cpp; CMakeLists.txt adds -mavx2 on x86-64.
#include "ups/data/generators/lane_kernels.inc"
#include "ups/data/generators/lanes.h"

namespace ups::data {
extern const LaneKernels kLaneKernelsAvx2;
const LaneKernels kLaneKernelsAvx2{pass4, pass2, dif4, dit4, butterfly2, square, stage1, stage2, stage3, stage4};
}  // namespace ups::data
