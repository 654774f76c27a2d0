// Darcy flow -div(a grad u) = f on a cell-centred grid with u = 0 on the wall: residual and preconditioned CG, to judge a
// prediction as a solver's warm start.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace ups::metrics {

enum class DarcyFaces {
  harmonic,    // our generator: harmonic mean on inner faces, the wall half a cell from the centre
  arithmetic,  // PDEBench files: arithmetic mean, u = 0 at ghost cell centres
};

class DarcyOperator {
 public:
  // a: [nx, ny] > 0; lx, ly: extents of the domain.
  DarcyOperator(int64_t nx, int64_t ny, double lx, double ly, std::span<const double> a, DarcyFaces faces);
  void apply(std::span<const double> u, std::span<double> out) const;
  // ||f - A u|| / ||f||.
  double relative_residual(std::span<const double> u, double f) const;
  // Jacobi-PCG from start; f is constant. go_on(k, u) sees u after k = 0, 1, .. iterations and says whether there is another one; it
  // ends by itself when the residual is rounding.
  void pcg(std::span<const double> start, double f, const std::function<bool(int64_t, std::span<const double>)>& go_on) const;
  // u after each number of iterations (ascending).
  std::vector<std::vector<double>> pcg(std::span<const double> start, double f, std::span<const int64_t> iterations) const;
  // The solution of A u = f, to rounding.
  std::vector<double> solve(double f) const;

 private:
  size_t nx_, ny_;
  std::vector<double> face_x_, face_y_;  // [(nx+1), ny] and [nx, (ny+1)], divided by h^2; walls included
  std::vector<double> diagonal_;
};

// ||u - truth|| / ||truth||.
double relative_l2(std::span<const double> u, std::span<const double> truth);

}  // namespace ups::metrics
