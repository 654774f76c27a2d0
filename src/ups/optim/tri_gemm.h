// The three fp32 products of the orthogonalizer with kernels of our own: symmetric results are computed in their lower triangle and
// mirrored, which no BLAS inside LibTorch offers. One table of functions per instruction set, chosen at run time; one thread each.
//
// Every element is one chain of multiply-adds over k, cut at fixed places: the bits depend on the shape and the instruction set alone,
// and AVX2 and AVX-512 give the same ones. The bf16 table rounds the factors to bf16 and sums in fp32; what is added (d, beta X) stays
// fp32.
#pragma once
#include <cstdint>

namespace ups::optim::host {

constexpr int64_t kGramRestart = 2;  // steps after which the Gram form returns to X in fp32

// The whole iteration for `count` small matrices at a time, one per vector lane: no packing, no mirrors, and the same bits as the
// three products below give.
struct LaneOrth {
  int64_t count = 0;  // 0: this table has none
  // Floats of scratch memory, on a cache line, for m <= n.
  int64_t (*workspace)(int64_t m, int64_t n, bool gram) = nullptr;
  // matrices: `count` ones, row-major, `stride` floats apart (a multiple of 16); X <- aX + (bR + cR^2)X, R = X X^T (or X^T X), for each
  // triple (a, b, c); gram: by way of R alone, X at the restart and at the end (orth_tri.cpp).
  void (*run)(int64_t rows, int64_t columns, float* matrices, int64_t stride, const float* coefficients, int64_t steps, bool gram, float* scratch) =
      nullptr;
};

// Matrices are row-major without gaps. m = min(rows, columns).
struct TriGemm {
  const char* name;  // base, avx2, avx512, avx512_bf16
  // Floats of scratch memory that the functions need.
  int64_t (*scratch)(int64_t m);
  // out [m, m] = X X^T (rows <= columns) or X^T X.
  void (*gram)(int64_t rows, int64_t columns, const float* x, float* out, float* scratch);
  // out = alpha P R + beta D for symmetric m x m matrices whose product is symmetric. alpha is not 0. d: nullptr when beta is 0; it may
  // be out.
  void (*multiply)(int64_t m, const float* p, const float* r, float* out, float alpha, const float* d, float beta, float* scratch);
  // out = P X + beta X (rows <= columns) or X P + beta X, P symmetric m x m. out may not overlap x.
  void (*apply)(int64_t rows, int64_t columns, const float* p, const float* x, float beta, float* out, float* scratch);
  LaneOrth lanes;
};

// The fastest table for this processor.
const TriGemm& tri_gemm();
// With bf16 factors; nullptr on processors without such instructions.
const TriGemm* tri_gemm_bf16();
// By name; nullptr if this processor or build lacks it. For tests.
const TriGemm* tri_gemm_named(const char* name);

}  // namespace ups::optim::host
