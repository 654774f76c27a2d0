#define UPS_TRI_ISA tri_avx512
#define UPS_TRI_NAME "avx512"
#define UPS_TRI_BYTES 64
#define UPS_TRI_ROWS 8
#define UPS_TRI_VECTORS 2
#include "ups/optim/tri_gemm_impl.h"
