#define UPS_TRI_ISA tri_avx2
#define UPS_TRI_NAME "avx2"
#define UPS_TRI_BYTES 32
#define UPS_TRI_ROWS 4
#define UPS_TRI_VECTORS 3
#include "ups/optim/tri_gemm_impl.h"
