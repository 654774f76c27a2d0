#include "ups/models/reference/block_kernels.h"

namespace ups::models::reference {

namespace kernels_base {
const BlockKernels& kernels();
}
namespace kernels_avx2 {
const BlockKernels& kernels();
}
namespace kernels_avx512 {
const BlockKernels& kernels();
}

const BlockKernels& block_kernels() {
#ifdef UPS_X86_KERNELS
  static const BlockKernels& chosen = [&]() -> const BlockKernels& {
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return kernels_avx512::kernels();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return kernels_avx2::kernels();
    return kernels_base::kernels();
  }();
  return chosen;
#else
  return kernels_base::kernels();
#endif
}

}  // namespace ups::models::reference
