// The exact solution of Burgers' equation on a periodic interval, by quadrature; shares nothing with the spectral solver.
#pragma once
#include <functional>
#include <vector>

namespace ups::data {

// u_t + (u^2/2)_x = mu u_xx on [0,1), u(x,0) = u0(x). With c = mean(u0), v0 = u0 - c and u(x,t) = c + v(x - c t, t):
//   v(x,t) = int (x-y)/t e^{-G/2mu} dy / int e^{-G/2mu} dy,   G(y) = int_0^y v0 + (x-y)^2/(2t).
class ColeHopf {
 public:
  ColeHopf(const std::function<double(double)>& u0, double mu);
  double operator()(double x, double t) const;  // t > 0

 private:
  double mu_, mean_, bound_;        // bound_ = max |v0|
  std::vector<double> primitive_;  // int_0^y v0 at y = j / primitive_.size()
};

}  // namespace ups::data
