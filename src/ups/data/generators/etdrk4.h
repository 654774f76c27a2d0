// Coefficients of the fourth-order exponential integrator ETDRK4 (Cox, Matthews 2002) for u' = L u + N(u) with diagonal real L,
// by contour integrals around each eigenvalue (Kassam, Trefethen 2005), which avoids the cancellation at small L h.
//
//   a = e2 v + q N(v);  b = e2 v + q N(a);  c = e2 a + q (2 N(b) - N(v));  v <- e v + f1 N(v) + f2 (N(a) + N(b)) + f3 N(c)
#pragma once
#include <span>
#include <vector>

namespace ups::data {

struct Etdrk4 {
  std::vector<double> e, e2, q, f1, f2, f3;  // f2 contains the factor 2 of the published scheme
  Etdrk4() = default;
  Etdrk4(std::span<const double> eigenvalues, double h);
};

}  // namespace ups::data
