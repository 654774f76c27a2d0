#define UPS_KERNEL_ISA kernels_avx512
#define UPS_KERNEL_NAME "avx512"
#define UPS_KERNEL_BYTES 64
#include "ups/models/reference/block_kernels_impl.h"
