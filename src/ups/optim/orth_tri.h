// The orthogonalizer's iteration on our own fp32 or bf16 products (tri_gemm.h); entry points in orth_host.h.
#pragma once
#include <cstdint>

#include "ups/optim/orthogonalize.h"
#include "ups/optim/tri_gemm.h"

namespace ups::optim::host {

// Products of one iteration: m x m by m x m, and those with X. Two times the same table, or fp32 beside bf16.
struct OrthProducts {
  const TriGemm& squares;
  const TriGemm& rectangles;
  bool low = false;  // rectangles are bf16
};
// The tables and, where `variant` is automatic, the variant in bf16: what is fastest among those that are as exact as the plain formula.
OrthProducts bf16_products(OrthVariant variant);
OrthVariant orth_variant_bf16(int64_t rows, int64_t columns);

// Floats that iterate() needs beside x, for any products; variant is not automatic.
int64_t tri_workspace(int64_t rows, int64_t columns, OrthVariant variant);

// Runs the schedule on normalised x (A x B, destroyed). Returns where the result is: x or a part of the workspace.
float* iterate(const OrthProducts& products, float* x, int64_t rows, int64_t columns, const NsSchedule& schedule, OrthVariant variant,
               float* workspace);

}  // namespace ups::optim::host
