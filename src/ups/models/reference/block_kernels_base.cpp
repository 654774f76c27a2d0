#define UPS_KERNEL_ISA kernels_base
#define UPS_KERNEL_NAME "base"
#define UPS_KERNEL_BYTES 16
#include "ups/models/reference/block_kernels_impl.h"
