#include <ATen/ATen.h>
#define UPS_TEST_WITH_TORCH
#include "test_common.h"
#include "ups/models/field_operator.h"
#include "ups/models/fused_transport.h"
#include "ups/models/transport.h"

using namespace ups::models;
using at::Tensor;

namespace {

TokenGrid grid_1d(int64_t n, bool periodic) { return {{n}, {periodic}}; }

// Value, gradient of the values and of the displacement under a fixed random projection.
std::vector<Tensor> value_and_gradients(const Tensor& v_in, const Tensor& d_in, const std::function<Tensor(const Tensor&, const Tensor&)>& f) {
  const Tensor v = v_in.clone().set_requires_grad(true), d = d_in.clone().set_requires_grad(true);
  const Tensor y = f(v, d);
  (y * noise_like(y, 7)).sum().backward();
  return {y.detach(), v.grad(), d.grad()};
}

}  // namespace

TEST_CASE("a constant displacement moves the values; half a token averages two") {
  const Tensor v = noise_like(at::empty({16, 2, 6}), 1);
  const auto grid = grid_1d(16, true);
  for (double reach : {3.0, -5.0, 16.0, -33.0}) {
    const Tensor d = at::full({16, 2, 3}, reach);
    CHECK(at::equal(displaced(v, d, grid), at::roll(v, {-static_cast<int64_t>(reach)}, {0})));
    CHECK(at::equal(fused::displaced(v, d / 4.0, grid, 4.0), at::roll(v, {-static_cast<int64_t>(reach)}, {0})));
  }
  const Tensor half = displaced(v, at::full({16, 2, 3}, 0.5), grid);
  CHECK(at::allclose(half, (v + at::roll(v, {-1}, {0})) / 2, 0, 1e-6));
  // Heads move on their own: the second of three (features 2 and 3) goes two tokens, the others stay.
  Tensor d = at::zeros({16, 2, 3});
  d.select(2, 1).fill_(2.0);
  const Tensor y = displaced(v, d, grid);
  CHECK(at::equal(y.slice(2, 0, 2), v.slice(2, 0, 2)));
  CHECK(at::equal(y.slice(2, 2, 4), at::roll(v, {-2}, {0}).slice(2, 2, 4)));
}

TEST_CASE("at a wall the value of the border is read") {
  const Tensor v = at::arange(8, at::kFloat).view({8, 1, 1});
  for (bool fast : {false, true}) {
    const auto read = [&](double by) {
      const Tensor d = at::full({8, 1, 1}, by);
      return fast ? fused::displaced(v, d, grid_1d(8, false), 1.0) : displaced(v, d, grid_1d(8, false));
    };
    CHECK(read(-100.0).abs().max().item<float>() == 0.0f);
    CHECK((read(100.0) - 7).abs().max().item<float>() == 0.0f);
    CHECK(at::equal(read(2.5).flatten(), at::tensor({2.5, 3.5, 4.5, 5.5, 6.5, 7.0, 7.0, 7.0}).to(at::kFloat)));
  }
}

TEST_CASE("in two dimensions displacements have one number per axis, the first axis first") {
  const TokenGrid grid{{6, 5}, {true, true}};
  const Tensor v = noise_like(at::empty({30, 2, 4}), 1), image = v.view({6, 5, 2, 4});
  Tensor d = at::zeros({30, 2, 4});  // two heads, two axes
  d.select(2, 0).fill_(2.0);         // head 0: two rows
  d.select(2, 3).fill_(-1.0);        // head 1: one column back
  const Tensor expected = at::cat({at::roll(image, {-2}, {0}).slice(3, 0, 2), at::roll(image, {1}, {1}).slice(3, 2, 4)}, 3).view({30, 2, 4});
  CHECK(at::equal(displaced(v, d, grid), expected));
  CHECK(at::equal(fused::displaced(v, d, grid, 1.0), expected));
}

TEST_CASE("the fused lookup equals the plain one, with all gradients, also far outside") {
  for (bool periodic : {true, false}) {
    for (const auto& size : {std::vector<int64_t>{19}, std::vector<int64_t>{7, 10}}) {
      const TokenGrid grid{size, std::vector<bool>(size.size(), periodic)};
      const auto axes = static_cast<int64_t>(size.size());
      for (double spread : {0.5, 4.0, 40.0}) {
        const Tensor v = noise_like(at::empty({grid.tokens(), 3, 12}), 2), d = spread * noise_like(at::empty({grid.tokens(), 3, 4 * axes}), 3);
        const auto fast = value_and_gradients(v, d, [&](const Tensor& a, const Tensor& b) { return fused::displaced(a, b, grid, 2.0); });
        const auto slow = value_and_gradients(v, d, [&](const Tensor& a, const Tensor& b) { return displaced(a, 2.0 * b, grid); });
        for (size_t i = 0; i < fast.size(); ++i) {
          INFO("result " << i << " periodic " << periodic << " axes " << axes << " spread " << spread);
          CHECK(((fast[i] - slow[i]).abs().max() / slow[i].abs().max()).item<double>() < 1e-5 * (1 + spread));
        }
      }
    }
  }
}

TEST_CASE("gradients of the lookup are those of finite differences") {
  const TokenGrid grid{{5, 6}, {true, false}};
  const Tensor v = noise_like(at::empty({30, 1, 4}), 2).to(at::kDouble), d = noise_like(at::empty({30, 1, 4}), 3).to(at::kDouble);
  const auto g = value_and_gradients(v, d, [&](const Tensor& a, const Tensor& b) { return displaced(a, b, grid); });
  const Tensor dv = noise_like(v, 4), dd = noise_like(d, 5);
  const auto value = [&](double h) {
    const Tensor y = displaced(v + h * dv, d + h * dd, grid);
    return (y * noise_like(y, 7)).sum().item<double>();
  };
  const double h = 1e-7;
  CHECK((value(h) - value(-h)) / (2 * h) == Approx(((g[1] * dv).sum() + (g[2] * dd).sum()).item<double>()).epsilon(1e-4));
}

TEST_CASE("displacements that are not numbers read nothing outside") {
  const float bad[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, 2147483648.0f};
  for (bool periodic : {true, false}) {
    for (float b : bad) {
      const Tensor v = noise_like(at::empty({9, 1, 4}), 2), d = at::full({9, 1, 2}, b);
      value_and_gradients(v, d, [&](const Tensor& x, const Tensor& y) { return fused::displaced(x, y, grid_1d(9, periodic), 8.0); });
    }
  }
}
