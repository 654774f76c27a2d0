// Darcy flow -div(a grad u) = f on a cell-centred grid with u = 0 on the wall: residual and preconditioned CG, to judge a
// prediction as a solver's warm start.
#pragma once
#include <cstdint>
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
  // u after each number of Jacobi-PCG iterations (ascending) from start. f is constant.
  std::vector<std::vector<double>> pcg(std::span<const double> start, double f, std::span<const int64_t> iterations) const;

 private:
  size_t nx_, ny_;
  std::vector<double> face_x_, face_y_;  // [(nx+1), ny] and [nx, (ny+1)], divided by h^2; walls included
  std::vector<double> diagonal_;
};

// ||u - truth|| / ||truth||.
double relative_l2(std::span<const double> u, std::span<const double> truth);

}  // namespace ups::metrics
