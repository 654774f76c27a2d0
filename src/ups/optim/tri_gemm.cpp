#include "ups/optim/tri_gemm.h"

#include <cstring>

namespace ups::optim::host {

namespace tri_base {
extern const TriGemm kTable;
}
#ifdef UPS_OPTIM_X86
namespace tri_avx2 {
extern const TriGemm kTable;
}
namespace tri_avx512 {
extern const TriGemm kTable;
}
namespace tri_avx512_bf16 {
extern const TriGemm kTable;
}
#endif

namespace {

struct TriTables {
  const TriGemm* items[4] = {};  // best fp32 first; [3] is bf16
  TriTables() {
    const TriGemm** next = items;
#ifdef UPS_OPTIM_X86
    __builtin_cpu_init();
    const bool wide = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
    if (wide) *next++ = &tri_avx512::kTable;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) *next++ = &tri_avx2::kTable;
    if (wide && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bf16")) items[3] = &tri_avx512_bf16::kTable;
#endif
    *next = &tri_base::kTable;
  }
};

const TriTables& tri_tables() {
  static const TriTables tables;
  return tables;
}

}  // namespace

const TriGemm& tri_gemm() { return *tri_tables().items[0]; }

const TriGemm* tri_gemm_bf16() { return tri_tables().items[3]; }

const TriGemm* tri_gemm_named(const char* name) {
  for (const TriGemm* t : tri_tables().items)
    if (t && std::strcmp(t->name, name) == 0) return t;
  return nullptr;
}

}  // namespace ups::optim::host
