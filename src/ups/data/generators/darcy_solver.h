// -div(a grad u) = f on a rectangle of nx x ny square cells of the unit square's width, u = 0 on the wall.
// Cell-centred five-point finite volumes: harmonic means of a on inner faces, half-cell distance to the walls.
// Solved by conjugate gradients with a modified incomplete Cholesky preconditioner.
#pragma once
#include <cstddef>
#include <span>
#include <vector>

namespace ups::data {

class DarcySolver {
 public:
  explicit DarcySolver(size_t n);  // n x n cells of side 1/n, index i * n + j with x = (i + 1/2)/n, y = (j + 1/2)/n
  // a and f hold one value per cell; stops at ||f - A u|| <= tolerance ||f||. Throws Error (exit 5) if that is not reached.
  std::vector<double> solve(std::span<const double> a, std::span<const double> f, double tolerance = 1e-10);
  // ||f - A u|| / ||f|| of the last solve, recomputed from u.
  double residual() const { return residual_; }
  int iterations() const { return iterations_; }
  // Sum over the walls of a du/dn * face length for the last coefficient: minus the outflow.
  double wall_flux(std::span<const double> u) const;

 private:
  void assemble(std::span<const double> a);
  void apply(std::span<const double> u, std::span<double> out) const;
  void precondition(std::span<const double> r, std::span<double> z) const;
  size_t n_;
  std::vector<double> diagonal_, east_, north_;  // h^2 A; east_[c], north_[c] >= 0 couple c to its +x, +y neighbour
  std::vector<double> wall_;                     // h^2 A's diagonal share of the walls
  std::vector<double> inverse_;                  // of the preconditioner's diagonal
  double residual_ = 0;
  int iterations_ = 0;
};

}  // namespace ups::data
