// The wheels export sgemm_ and dgemm_; a LibTorch that does not gets the same products from ATen. Never link a BLAS of our own.
#include "ups/optim/blas.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>

extern "C" {
void sgemm_(const char* ta, const char* tb, const int* m, const int* n, const int* k, const float* alpha, const float* a, const int* lda,
            const float* b, const int* ldb, const float* beta, float* c, const int* ldc) __attribute__((weak));
void dgemm_(const char* ta, const char* tb, const int* m, const int* n, const int* k, const double* alpha, const double* a,
            const int* lda, const double* b, const int* ldb, const double* beta, double* c, const int* ldc) __attribute__((weak));
}

namespace ups::optim::host {
namespace {

template <class T>
at::Tensor view(const T* data, int64_t rows, int64_t columns, int64_t stride) {
  return at::from_blob(const_cast<T*>(data), {rows, columns}, {stride, 1}, at::TensorOptions().dtype(c10::CppTypeToScalarType<T>::value));
}

template <class T>
void aten_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T beta, T* c,
               int64_t ldc) {
  c10::InferenceMode guard;
  const at::Tensor x = ta ? view(a, k, m, lda).t() : view(a, m, k, lda), y = tb ? view(b, n, k, ldb).t() : view(b, k, n, ldb);
  at::Tensor z = view(c, m, n, ldc);
  at::addmm_out(z, z, x, y, beta, alpha);
}

// Column-major BLAS computes C^T = op(B)^T op(A)^T: swap the operands.
template <class T, class F>
void call(F f, bool ta, bool tb, int64_t m, int64_t n, int64_t k, T alpha, const T* a, int64_t lda, const T* b, int64_t ldb, T beta, T* c,
          int64_t ldc) {
  const char fa = ta ? 'T' : 'N', fb = tb ? 'T' : 'N';
  const int mm = static_cast<int>(m), nn = static_cast<int>(n), kk = static_cast<int>(k);
  const int la = static_cast<int>(lda), lb = static_cast<int>(ldb), lc = static_cast<int>(ldc);
  f(&fb, &fa, &nn, &mm, &kk, &alpha, b, &lb, a, &la, &beta, c, &lc);
}

}  // namespace

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float* a, int64_t lda, const float* b, int64_t ldb,
          float beta, float* c, int64_t ldc) {
  if (sgemm_) call(sgemm_, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  else aten_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, double alpha, const double* a, int64_t lda, const double* b, int64_t ldb,
          double beta, double* c, int64_t ldc) {
  if (dgemm_) call(dgemm_, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
  else aten_gemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

}  // namespace ups::optim::host
