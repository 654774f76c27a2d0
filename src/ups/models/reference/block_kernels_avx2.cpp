#define UPS_KERNEL_ISA kernels_avx2
#define UPS_KERNEL_NAME "avx2"
#define UPS_KERNEL_BYTES 32
#include "ups/models/reference/block_kernels_impl.h"
