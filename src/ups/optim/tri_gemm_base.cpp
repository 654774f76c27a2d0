#define UPS_TRI_ISA tri_base
#define UPS_TRI_NAME "base"
#define UPS_TRI_BYTES 16
#define UPS_TRI_ROWS 4
#define UPS_TRI_VECTORS 2
#include "ups/optim/tri_gemm_impl.h"
