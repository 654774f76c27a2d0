// The body of the one-launch CUDA kernel on the host: forward, reverse and shuffled order within each phase give the same bits, from
// scratch full of NaN; its numbers are those of the CPU optimizer.
#include <ATen/ATen.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>

#include "ups/optim/muon.h"
#include "ups/optim/muon_small.h"

using namespace ups::optim;

namespace {

enum class Order { forward, reverse, shuffled };

struct HostExecutor {
  Order order;
  std::mt19937 random{7};

  std::vector<int64_t> sequence(int64_t n) {
    std::vector<int64_t> all(static_cast<size_t>(n));
    std::iota(all.begin(), all.end(), 0);
    if (order == Order::reverse) std::reverse(all.begin(), all.end());
    if (order == Order::shuffled) std::shuffle(all.begin(), all.end(), random);
    return all;
  }
  template <class F>
  void for_each(int64_t n, const F& f) {
    for (const int64_t i : sequence(n)) f(i);
  }
  template <class F, class Put>
  void columns(int n, int m, const F& f, const Put& put) {
    std::vector<float> value(static_cast<size_t>(m));
    for (const int64_t j : sequence(n)) {
      for (const int64_t i : sequence(m)) value[static_cast<size_t>(i)] = f(static_cast<int>(i), static_cast<int>(j));
      for (const int64_t i : sequence(m)) put(static_cast<int>(i), static_cast<int>(j), value[static_cast<size_t>(i)]);
    }
  }
  template <class F, class Join>
  static float reduce(int64_t n, const F& f, const Join& join) {
    constexpr int64_t kThreads = 512;
    std::vector<float> partial(kThreads, 0);
    for (int64_t i = 0; i < n; ++i) partial[static_cast<size_t>(i % kThreads)] = join(partial[static_cast<size_t>(i % kThreads)], f(i));
    for (size_t half = kThreads / 2; half > 0; half /= 2)
      for (size_t i = 0; i < half; ++i) partial[i] = join(partial[i], partial[i + half]);
    return partial[0];
  }
  template <class F>
  float sum(int64_t n, const F& f) {
    return reduce(n, f, [](float a, float b) { return a + b; });
  }
  template <class F>
  float largest(int64_t n, const F& f) {
    return reduce(n, f, [](float a, float b) { return std::max(a, b); });
  }
};

struct Result {
  at::Tensor w, m;
};

MuonOptions options_of(EpsMode eps) {
  MuonOptions o;
  o.lr = 0.02;
  o.weight_decay = 0.1;
  o.schedule = ns_schedule("polar_express", 5);
  o.eps = eps;
  return o;
}

Result run_small(const MuonOptions& o, const at::Tensor& w0, const std::vector<at::Tensor>& grads, Order order, const float* found_inf = nullptr) {
  Result r{w0.clone(), at::zeros_like(w0)};
  small::Settings s = small::settings_of(o);
  s.found_inf = found_inf;
  const int rows = static_cast<int>(w0.size(0)), columns = static_cast<int>(w0.size(1));
  const auto factor = static_cast<float>(muon_factor(o.scale_mode, o.scale, rows, columns, w0.sizes()));
  for (const at::Tensor& g : grads) {
    std::vector<float> scratch(static_cast<size_t>(small::scratch_floats(rows, columns)), std::numeric_limits<float>::quiet_NaN());
    HostExecutor executor{order};
    small::update(executor, {g.const_data_ptr<float>(), r.m.mutable_data_ptr<float>(), r.w.mutable_data_ptr<float>(), rows, columns, factor}, s,
                  scratch.data());
  }
  return r;
}

Result run_optimizer(const MuonOptions& o, const at::Tensor& w0, const std::vector<at::Tensor>& grads) {
  at::Tensor w = w0.clone().set_requires_grad(true);
  Muon muon(o, {{{"w", w}, std::nullopt}});
  for (const at::Tensor& g : grads) {
    w.mutable_grad() = g.clone();
    muon.step({});
  }
  return {w.detach(), muon.state()[0].second};
}

std::vector<at::Tensor> gradients(int64_t rows, int64_t columns, double size) {
  std::vector<at::Tensor> g;
  for (uint64_t i = 0; i < 3; ++i) {
    at::manual_seed(i + 1);
    g.push_back(at::randn({rows, columns}) * size);
  }
  return g;
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) { return at::equal(a, b); }

}  // namespace

TEST_CASE("the small-matrix kernel does not depend on the order within a phase and matches the optimizer") {
  const auto [rows, columns] = GENERATE(table<int64_t, int64_t>({{12, 12}, {1, 7}, {7, 1}, {96, 16}, {16, 96}, {33, 20}, {48, 96}}));
  const EpsMode eps = GENERATE(EpsMode::scale_free, EpsMode::kj, EpsMode::clamp);
  CAPTURE(rows, columns, static_cast<int>(eps));
  at::manual_seed(0);
  const at::Tensor w0 = at::randn({rows, columns});
  const MuonOptions o = options_of(eps);
  const auto g = gradients(rows, columns, 0.3);
  const Result forward = run_small(o, w0, g, Order::forward);
  for (const Order order : {Order::reverse, Order::shuffled}) {
    const Result other = run_small(o, w0, g, order);
    CHECK(same_bits(forward.w, other.w));
    CHECK(same_bits(forward.m, other.m));
  }
  const Result expected = run_optimizer(o, w0, g);
  CHECK((forward.w - expected.w).abs().max().item<double>() < 3e-6);
  CHECK((forward.m - expected.m).abs().max().item<double>() < 1e-6);
}

TEST_CASE("the small-matrix kernel takes tiny, huge and zero gradients and leaves a masked step alone") {
  at::manual_seed(0);
  const at::Tensor w0 = at::randn({8, 20});
  const MuonOptions o = options_of(EpsMode::scale_free);
  const auto step = [&](double size) { return run_small(o, w0, {gradients(8, 20, 1)[0] * size}, Order::forward).w; };
  CHECK((step(1e-30) - step(1)).abs().max().item<double>() < 2e-6);
  CHECK((step(1e30) - step(1)).abs().max().item<double>() < 2e-6);
  const at::Tensor zero = run_small(o, w0, {at::zeros({8, 20})}, Order::forward).w;
  CHECK((zero - w0 * (1 - o.lr * o.weight_decay)).abs().max().item<double>() < 1e-6);
  const float flag = 1;
  const at::Tensor bad = at::full({8, 20}, std::numeric_limits<float>::infinity());
  const Result masked = run_small(o, w0, {bad}, Order::forward, &flag);
  CHECK(same_bits(masked.w, w0));
  CHECK(masked.m.abs().max().item<float>() == 0);
}
