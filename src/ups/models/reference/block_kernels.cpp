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

namespace {
struct Variants {
  const BlockKernels* table[3] = {};
  int count = 0;
  Variants() {
#ifdef UPS_X86_KERNELS
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) table[count++] = &kernels_avx512::kernels();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) table[count++] = &kernels_avx2::kernels();
#endif
    table[count++] = &kernels_base::kernels();
  }
};

const Variants& variants() {
  static const Variants found;
  return found;
}
}  // namespace

const BlockKernels& block_kernels() { return *variants().table[0]; }

const BlockKernels* const* block_kernel_variants(int& count) {
  count = variants().count;
  return variants().table;
}

}  // namespace ups::models::reference
