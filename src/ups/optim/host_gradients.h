// Gradients in host memory as pieces of fixed size: one loop over all of them, and sums whose bits do not depend on the threads.
#pragma once
#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "ups/optim/param.h"

namespace ups::optim {

class HostGradients {
 public:
  struct Sum {
    double squares = 0;
    bool finite = true;
  };

  // The calling thread's list, emptied: its memory is kept, so that passes allocate nothing after the first.
  static HostGradients& cleared();

  void add(const at::Tensor& g);  // host_dense
  // Sum of squares of inv * g; with `write`, g *= inv.
  Sum squares(double inv, bool write);
  // In double: against gradients near the end of fp32's range the factor would be a denormal float.
  void multiply(double factor);

 private:
  struct Piece {
    void* data;
    int64_t n;
    bool single;
    Sum sum;
  };
  static Sum pass(float* g, int64_t n, double inv, bool write);
  static Sum pass(double* g, int64_t n, double inv, bool write);
  template <class F>
  void each(const F& f);

  std::vector<Piece> pieces_;
  int64_t numbers_ = 0;
};

// Gradients that the host passes cannot walk, by (device, dtype): foreach functions need uniform lists.
using GradientLists = std::map<std::pair<int, int>, std::vector<at::Tensor>>;
// Puts every defined, non-empty gradient into one of the two; returns the device of the last one. Not on_host: all go to `others`.
at::Device collect_gradients(const ParamList& params, HostGradients* on_host, GradientLists& others);

}  // namespace ups::optim
