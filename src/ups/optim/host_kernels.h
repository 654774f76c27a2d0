// Elementwise passes over plain CPU memory, compiled for AVX-512, AVX2 and the baseline and chosen at run time. Without FMA
// contraction and with a fixed order of summation: the same bits on every x86 machine and for every thread count.
#pragma once
#include <cstdint>

namespace ups::optim::host {

// g *= factor when `scale` is set; returns the sum of squares of the result, in double.
double scale_sum_squares(float* g, int64_t n, float factor, bool scale);
double scale_sum_squares(double* g, int64_t n, double factor, bool scale);
void scale(float* x, int64_t n, float factor);
void scale(double* x, int64_t n, double factor);
// To the nearest number that bf16 has, ties to even.
void round_bf16(float* x, int64_t n);

// G = grad_factor * g;  M += (1-mu)(G - M);  U = nesterov ? G + mu (M - G) : M. Returns the sum of squares of U. u may not overlap m or g.
double muon_momentum(const float* g, float* m, float* u, int64_t n, double mu, bool nesterov, double grad_factor);
double muon_momentum(const double* g, double* m, double* u, int64_t n, double mu, bool nesterov, double grad_factor);
// x *= factor, rounded once from double: factors beyond the range of float are fine.
void normalise(float* x, int64_t n, double factor);
void normalise(double* x, int64_t n, double factor);
// W <- decay*W - step*O, rounded once; cautious: the factor decay only where O and W do not differ in sign.
void muon_apply(float* w, const float* o, int64_t n, double decay, double step, bool cautious);
void muon_apply(double* w, const double* o, int64_t n, double decay, double step, bool cautious);

// shadow += (1-d)(value - shadow)
void ema(float* shadow, const float* value, int64_t n, double one_minus_d);
void ema(double* shadow, const double* value, int64_t n, double one_minus_d);

struct SgdScalars {
  double lr, weight_decay = 0, momentum = 0, dampening = 0;
  double grad_factor = 1;  // multiplies the gradient as it is read
  bool nesterov = false;
  bool first = false;      // with dampening the first step takes the gradient whole
};
// buffer: nullptr without momentum.
void sgd(float* w, const float* g, float* buffer, int64_t n, const SgdScalars& s);
void sgd(double* w, const double* g, double* buffer, int64_t n, const SgdScalars& s);

struct AdamScalars {
  double decay;        // 1 - lr*wd for AdamW, 1 for Adam
  double l2;           // weight decay added to the gradient: Adam; 0 for AdamW
  double beta1, beta2;
  double step_size;    // lr / (1 - beta1^t)
  double inv_root_c2;  // 1 / sqrt(1 - beta2^t)
  double eps;
  double grad_factor = 1;  // multiplies the gradient as it is read
  bool cautious = false;   // decay only where m and w do not differ in sign
};
// vmax: nullptr unless amsgrad.
void adam(float* w, const float* g, float* m, float* v, float* vmax, int64_t n, const AdamScalars& s);
void adam(double* w, const double* g, double* m, double* v, double* vmax, int64_t n, const AdamScalars& s);

}  // namespace ups::optim::host
