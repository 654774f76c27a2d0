// One Muon update of a small matrix as a sequence of phases (optim.md 4.5): the body of the one-launch CUDA kernel, which runs on the
// host as well. No torch header: nvcc compiles it in a second.
//
// The executor E offers
//   for_each(n, f)        f(i) for i < n, in any order and at once; what one item writes no other may read before the next phase
//   columns(n, m, f, put) for every column j < n: all f(i, j), i < m, then all put(i, j, value): a column may be read and written
//   sum(n, f), largest(n, f)   over i < n in a fixed order: the same bits for every schedule
// Each call is a phase that ends in a barrier.
#pragma once
#include <cstdint>

#if defined(__CUDACC__)
#define UPS_DEVICE __host__ __device__
#else
#define UPS_DEVICE
#endif

namespace ups::optim {
struct MuonOptions;
}

namespace ups::optim::small {

constexpr int kMaxSteps = 12;
constexpr int kMaxRows = 192;     // of the wide form: more would not fit next to its square in shared memory
constexpr int kMatrices = 48;     // per launch: the table travels as a kernel argument of at most 4 KiB

// rows x columns, row-major and contiguous; g, m, w fp32. m is the EMA momentum.
struct Matrix {
  const float* g;
  float* m;
  float* w;
  int rows, columns;
  float factor;  // muon_factor(): scale of the update
};

struct Settings {
  float lr = 0, weight_decay = 0, beta = 0;
  int nesterov = 1, steps = 0;
  float coefficients[kMaxSteps][3] = {};
  float norm_scale = 1;                // NsSchedule::norm_scale
  float norm_add = 0, norm_floor = 0;  // > 0: divide by norm + add (eps_mode kj) or max(norm, floor) (clamp) instead
  const float* found_inf = nullptr;    // on the device; 1 = leave everything as it is
};

// Everything but found_inf. The schedule has at most kMaxSteps steps.
Settings settings_of(const MuonOptions& options);

struct Launch {
  Settings settings;
  int count = 0;
  Matrix matrices[kMatrices];
};
static_assert(sizeof(Launch) <= 4096, "CUDA kernel arguments");

constexpr int64_t small_side(int64_t rows, int64_t columns) { return rows < columns ? rows : columns; }
// Floats of scratch: X in wide form, then one m x (m + 1) square that holds the lower triangle of A and the upper one of P.
constexpr int64_t scratch_floats(int64_t rows, int64_t columns) {
  const int64_t m = small_side(rows, columns);
  return rows * columns + m * (m + 1);
}

namespace detail {

struct View {
  Matrix t;
  Settings s;
  float* x;    // m x n, wide
  float* a;    // m x (m + 1)
  int m, n;
  bool tall;

  UPS_DEVICE float& lower(int i, int j) const { return a[i * (m + 1) + j]; }      // A, j <= i
  UPS_DEVICE float& upper(int i, int j) const { return a[i * (m + 1) + j + 1]; }  // P, j >= i
  UPS_DEVICE float gram(int i, int j) const { return j <= i ? lower(i, j) : lower(j, i); }
  UPS_DEVICE float poly(int i, int j) const { return j >= i ? upper(i, j) : upper(j, i); }
};

// Entry k of M, and of X = U.
struct Momentum {
  View v;
  UPS_DEVICE void operator()(int64_t k) const {
    const float g = v.t.g[k], mom = v.t.m[k] + (1 - v.s.beta) * (g - v.t.m[k]);
    v.t.m[k] = mom;
    const int row = static_cast<int>(k / v.t.columns), column = static_cast<int>(k % v.t.columns);
    v.x[v.tall ? static_cast<int64_t>(column) * v.n + row : k] = v.s.nesterov ? g + v.s.beta * (mom - g) : mom;
  }
};
struct Absolute {
  const float* x;
  UPS_DEVICE float operator()(int64_t k) const { return x[k] < 0 ? -x[k] : x[k]; }
};
struct Square {
  const float* x;
  float inverse;
  UPS_DEVICE float operator()(int64_t k) const {
    const float y = x[k] * inverse;
    return y * y;
  }
};
// Two factors: their product may leave the range of float for tiny gradients.
struct Scale {
  float* x;
  float first, second;
  UPS_DEVICE void operator()(int64_t k) const { x[k] = x[k] * first * second; }
};
// Lower triangle of A = X X^T, item = entry.
struct GramEntry {
  View v;
  UPS_DEVICE void operator()(int64_t k) const {
    const int i = static_cast<int>(k / v.m), j = static_cast<int>(k % v.m);
    if (j > i) return;
    const float *p = v.x + static_cast<int64_t>(i) * v.n, *q = v.x + static_cast<int64_t>(j) * v.n;
    float sum = 0;
    for (int c = 0; c < v.n; ++c) sum += p[c] * q[c];
    v.lower(i, j) = sum;
  }
};
// Upper triangle of P = aI + bA + cA^2.
struct PolynomialEntry {
  View v;
  float a, b, c;
  UPS_DEVICE void operator()(int64_t k) const {
    const int i = static_cast<int>(k / v.m), j = static_cast<int>(k % v.m);
    if (j < i) return;
    float sum = 0;
    if (c != 0)
      for (int l = 0; l < v.m; ++l) sum += v.gram(i, l) * v.gram(l, j);
    v.upper(i, j) = (i == j ? a : 0.0F) + b * v.gram(i, j) + c * sum;
  }
};
struct ApplyEntry {
  View v;
  UPS_DEVICE float operator()(int i, int j) const {
    float sum = 0;
    for (int l = 0; l < v.m; ++l) sum += v.poly(i, l) * v.x[static_cast<int64_t>(l) * v.n + j];
    return sum;
  }
};
struct PutEntry {
  View v;
  UPS_DEVICE void operator()(int i, int j, float value) const { v.x[static_cast<int64_t>(i) * v.n + j] = value; }
};
struct Update {
  View v;
  UPS_DEVICE void operator()(int64_t k) const {
    const int row = static_cast<int>(k / v.t.columns), column = static_cast<int>(k % v.t.columns);
    const float o = v.x[v.tall ? static_cast<int64_t>(column) * v.n + row : k], w = v.t.w[k];
    v.t.w[k] = w - (v.s.lr * v.t.factor * o + v.s.lr * v.s.weight_decay * w);
  }
};

UPS_DEVICE inline float root(float x) { return __builtin_sqrtf(x); }

}  // namespace detail

// scratch: scratch_floats() of any content.
template <class E>
UPS_DEVICE void update(E& executor, const Matrix& matrix, const Settings& settings, float* scratch) {
  if (settings.found_inf != nullptr && *settings.found_inf == 1.0F) return;
  const int m = matrix.rows < matrix.columns ? matrix.rows : matrix.columns, n = matrix.rows < matrix.columns ? matrix.columns : matrix.rows;
  const int64_t count = static_cast<int64_t>(m) * n;
  const detail::View v{matrix, settings, scratch, scratch + count, m, n, matrix.rows > matrix.columns};
  executor.for_each(count, detail::Momentum{v});
  // The norm in two passes: squares of tiny or huge gradients leave the range of float.
  const float largest = executor.largest(count, detail::Absolute{v.x});
  if (largest > 0) {
    const float inverse = 1 / largest;
    const bool flushed = !(inverse < 3e38F);  // the largest entry is below 3e-39
    const float relative = flushed ? 0 : detail::root(executor.sum(count, detail::Square{v.x, inverse}));
    float first = flushed ? 0 : inverse, divisor = flushed ? 1 : relative * settings.norm_scale;
    if (settings.norm_add > 0 || settings.norm_floor > 0) {
      const float norm = relative * largest;
      first = 1;
      divisor = settings.norm_add > 0 ? norm + settings.norm_add : norm > settings.norm_floor ? norm : settings.norm_floor;
    }
    executor.for_each(count, detail::Scale{v.x, first, 1 / divisor});
  }
  const int64_t square = static_cast<int64_t>(m) * m;
  for (int i = 0; i < settings.steps; ++i) {
    const float* k = settings.coefficients[i];
    executor.for_each(square, detail::GramEntry{v});
    executor.for_each(square, detail::PolynomialEntry{v, k[0], k[1], k[2]});
    executor.columns(n, m, detail::ApplyEntry{v}, detail::PutEntry{v});
  }
  executor.for_each(count, detail::Update{v});
}

}  // namespace ups::optim::small
