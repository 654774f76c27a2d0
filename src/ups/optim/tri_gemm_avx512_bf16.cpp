#include <immintrin.h>

#define UPS_TRI_ISA tri_avx512_bf16
#define UPS_TRI_NAME "avx512_bf16"
#define UPS_TRI_BYTES 64
#define UPS_TRI_ROWS 8
#define UPS_TRI_VECTORS 2
#define UPS_TRI_BF16
#include "ups/optim/tri_gemm_impl.h"
