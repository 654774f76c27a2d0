// The orthogonalizer's own products against double sums for odd shapes and every instruction set, the iteration on them against BLAS,
// and what must not change a bit: threads, order, instruction set.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cstring>
#include <vector>

#define UPS_TEST_WITH_TORCH
#include "golden_file.h"
#include "test_common.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/grad_scaler.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/orth_host.h"
#include "ups/optim/orth_lanes.h"
#include "ups/optim/orth_tri.h"
#include "ups/optim/tri_gemm.h"

using namespace ups;
using namespace ups::optim;
using namespace ups::test;
using host::TriGemm;

namespace {

at::Tensor randn(at::IntArrayRef shape, uint64_t seed, at::ScalarType type = at::kFloat) {
  auto g = at::detail::createCPUGenerator(seed);
  return at::randn(shape, g, at::TensorOptions().dtype(type));
}

std::vector<const TriGemm*> tables() {
  std::vector<const TriGemm*> out;
  for (const char* name : {"base", "avx2", "avx512", "avx512_bf16"})
    if (const TriGemm* t = host::tri_gemm_named(name)) out.push_back(t);
  return out;
}

struct Products {
  at::Tensor gram, multiply, apply;
};

// Scratch and results start as NaN: an element that is read before it is written, or never written, shows.
Products run(const TriGemm& g, const at::Tensor& x, const at::Tensor& p, const at::Tensor& r) {
  const int64_t rows = x.size(0), columns = x.size(1), m = std::min(rows, columns);
  at::Tensor scratch = at::full({g.scratch(m)}, NAN);
  Products out{at::full({m, m}, NAN), at::full({m, m}, NAN), at::full({rows, columns}, NAN)};
  float* s = scratch.mutable_data_ptr<float>();
  g.gram(rows, columns, x.const_data_ptr<float>(), out.gram.mutable_data_ptr<float>(), s);
  scratch.fill_(NAN);
  g.multiply(m, p.const_data_ptr<float>(), r.const_data_ptr<float>(), out.multiply.mutable_data_ptr<float>(), 1.5f,
             r.const_data_ptr<float>(), -0.5f, s);
  scratch.fill_(NAN);
  g.apply(rows, columns, p.const_data_ptr<float>(), x.const_data_ptr<float>(), 0.25f, out.apply.mutable_data_ptr<float>(), s);
  return out;
}

// Products in double of factors as the table sees them; what is added is not rounded.
Products expected(const TriGemm& g, const at::Tensor& x, const at::Tensor& p, const at::Tensor& r) {
  const bool low = std::strcmp(g.name, "avx512_bf16") == 0, tall = x.size(0) > x.size(1);
  const auto factor = [&](const at::Tensor& t) { return (low ? t.to(at::kBFloat16) : t).to(at::kDouble); };
  const at::Tensor fx = factor(x), fp = factor(p), fr = factor(r);
  return {tall ? at::matmul(fx.t(), fx) : at::matmul(fx, fx.t()), at::matmul(fp, fr) * 1.5 - r.to(at::kDouble) * 0.5,
          (tall ? at::matmul(fx, fp) : at::matmul(fp, fx)) + x.to(at::kDouble) * 0.25};
}

// Symmetric matrices that commute, as in the iteration.
at::Tensor symmetric(const at::Tensor& x, double shift) {
  const at::Tensor d = x.to(at::kDouble), s = x.size(0) > x.size(1) ? at::matmul(d.t(), d) : at::matmul(d, d.t());
  return (s * 0.3 + at::eye(s.size(0), at::kDouble) * shift).to(at::kFloat);
}

std::vector<std::pair<int64_t, int64_t>> shapes() {
  std::vector<std::pair<int64_t, int64_t>> out;
  for (int64_t m = 1; m <= 70; ++m) out.emplace_back(m, m + m * 7 % 13);
  for (const int64_t n : {127, 128, 129, 191, 192, 193, 255, 257, 384, 385, 500}) out.emplace_back(33, n);  // edges of the cuts
  for (const int64_t m : {95, 96, 97, 191, 192, 193, 200}) out.emplace_back(m, m + 31);
  out.emplace_back(390, 401);
  return out;
}

bool equal(const Products& a, const Products& b) {
  return same_bits(a.gram, b.gram) && same_bits(a.multiply, b.multiply) && same_bits(a.apply, b.apply);
}

NsSchedule polar() { return ns_schedule("polar_express", 5); }

at::Tensor orth(const at::Tensor& u, OrthVariant variant, host::OrthMath math = host::OrthMath::own) {
  return host::orthogonalize(u, polar(), EpsMode::scale_free, variant, math);
}

}  // namespace

TEST_CASE("products against double sums, odd shapes, every instruction set") {
  REQUIRE(!tables().empty());
  for (const auto& [m, n] : shapes())
    for (const bool tall : {false, true}) {
      const at::Tensor wide = randn({m, n}, static_cast<uint64_t>(1000 * m + n)) / std::sqrt(static_cast<double>(n));
      const at::Tensor x = tall ? wide.t().contiguous() : wide;
      const at::Tensor p = symmetric(x, 0.7), r = symmetric(x, -0.2);
      Products avx2;
      for (const TriGemm* g : tables()) {
        INFO(g->name << " " << x.size(0) << " x " << x.size(1));
        const Products got = run(*g, x, p, r), want = expected(*g, x, p, r);
        CHECK(max_abs_diff(got.gram, want.gram) <= 2e-6);
        CHECK(max_abs_diff(got.multiply.tril(), want.multiply.tril()) <= 4e-6);  // rounded factors do not commute
        CHECK(max_abs_diff(got.apply, want.apply) <= 4e-6);
        CHECK(same_bits(got.gram, got.gram.t().contiguous()));
        CHECK(same_bits(got.multiply, got.multiply.t().contiguous()));
        if (std::strcmp(g->name, "avx2") == 0) avx2 = got;
        if (std::strcmp(g->name, "avx512") == 0 && avx2.gram.defined()) CHECK(equal(got, avx2));
      }
    }
}

TEST_CASE("the added matrix may be the result") {
  for (const TriGemm* g : tables()) {
    const int64_t m = 75;
    const at::Tensor x = randn({m, 90}, 3) / 9, p = symmetric(x, 0.7), r = symmetric(x, -0.2), scratch = at::zeros({g->scratch(m)});
    const at::Tensor apart = at::zeros({m, m}), within = symmetric(x, 0.1), d = within.clone();
    const auto call = [&](const at::Tensor& out, const at::Tensor& add) {
      g->multiply(m, p.const_data_ptr<float>(), r.const_data_ptr<float>(), out.mutable_data_ptr<float>(), 1, add.const_data_ptr<float>(), 2,
                  scratch.mutable_data_ptr<float>());
    };
    call(apart, d);
    call(within, within);
    CHECK(same_bits(apart, within));
  }
}

TEST_CASE("the iteration on our products against BLAS") {
  for (const auto& [m, n] :
       {std::pair<int64_t, int64_t>{1, 7}, {12, 12}, {31, 47}, {64, 64}, {96, 96}, {96, 192}, {100, 333}, {193, 400}}) {
    for (const bool tall : {false, true}) {
      INFO(m << " x " << n << (tall ? " tall" : ""));
      const at::Tensor wide = randn({m, n}, 11), u = tall ? wide.t().contiguous() : wide;
      for (const OrthVariant v : {OrthVariant::standard, OrthVariant::symmetric, OrthVariant::gram}) {
        if (v == OrthVariant::gram && m == n) continue;
        const double bound = m == n && m > 50 ? 3e-5 : 1e-5;  // square Gaussians have small singular values
        CHECK(max_abs_diff(orth(u, v), orth(u, v, host::OrthMath::blas)) <= bound);
      }
      const auto s = ns_schedule("cubic5", 5);
      CHECK(max_abs_diff(host::orthogonalize(u, s, EpsMode::kj, OrthVariant::automatic),
                         host::orthogonalize(u.to(at::kDouble), s, EpsMode::kj, OrthVariant::standard)) <= 1e-5);
    }
  }
}

TEST_CASE("bf16 products: no further from fp64 than the plain formula in bf16") {
  if (!host::orth_bf16()) return;
  for (const auto& [m, n] : {std::pair<int64_t, int64_t>{64, 64}, {65, 201}, {96, 192}, {192, 96}, {128, 512}, {256, 256}, {70, 1000}}) {
    INFO(m << " x " << n);
    const at::Tensor u = randn({m, n}, 21), exact = orth(u.to(at::kDouble), OrthVariant::standard);
    const double plain = (orthogonalize(u, polar(), EpsMode::scale_free, at::kBFloat16).to(at::kDouble) - exact).norm().item<double>();
    const double ours = (orth(u, OrthVariant::automatic, host::OrthMath::bf16).to(at::kDouble) - exact).norm().item<double>();
    CHECK(ours <= 1.2 * plain);
    CHECK(ours > 1e-4 * exact.norm().item<double>());  // it is bf16
  }
  const at::Tensor small = randn({40, 90}, 22);
  CHECK(same_bits(orth(small, OrthVariant::automatic, host::OrthMath::bf16), orth(small, OrthVariant::automatic)));
}

TEST_CASE("equal bits for any thread count and order, bf16 and fp32, with all passes") {
  const auto run_all = [](int threads, bool reversed, const char* dtype) {
    at::set_num_threads(threads);
    ParamList p;
    for (int i = 0; i < 9; ++i) {
      const std::vector<int64_t> shape = i % 3 == 2 ? std::vector<int64_t>{70000 + i} : std::vector<int64_t>{50 + 37 * i, 131};
      const at::Tensor w = randn(shape, 100 + static_cast<uint64_t>(i)).set_requires_grad(true);
      w.mutable_grad() = randn(shape, static_cast<uint64_t>(i));
      p.push_back({"p" + std::to_string(i), w, Role::hidden});
    }
    OptimizerOptions o;
    o.name = "muon";
    o.muon_dtype = dtype;
    ParamList order = p;
    if (reversed) std::reverse(order.begin(), order.end());
    auto optimizer = make_optimizer(o, order);
    std::vector<at::Tensor> out;
    for (int step = 0; step < 2; ++step) {
      GradPass pass = unscale_and_norm(p, at::full({}, 0.125f));  // the sum runs over the list: its order is the caller's
      clip_(p, pass.norm, 1.0);
      optimizer->step(pass.found_inf);
      out.push_back(pass.norm);
    }
    for (const auto& x : p) out.push_back(x.tensor.detach().clone());
    at::set_num_threads(1);
    return out;
  };
  for (const char* dtype : {"fp32", "bf16"}) {
    const auto one = run_all(1, false, dtype);
    for (const auto& other : {run_all(2, false, dtype), run_all(2, true, dtype), run_all(3, true, dtype)})
      for (size_t i = 0; i < one.size(); ++i) CHECK(same_bits(one[i], other[i]));
  }
}

TEST_CASE("a factor left to the optimizer equals rewritten gradients") {
  for (const char* name : {"adam", "adamw", "sgd", "muon", "batched"}) {
    INFO(name);
    OptimizerOptions o;
    o.name = std::string(name) == "batched" ? "muon" : name;
    if (std::string(name) == "batched") o.muon_backend = "batched";
    o.weight_decay = 0.1;
    std::vector<at::Tensor> results;
    for (const bool folded : {false, true}) {
      ParamList p{{"w", randn({20, 30}, 1).set_requires_grad(true), Role::hidden},
                  {"b", randn({33}, 2).set_requires_grad(true), Role::hidden}};
      auto optimizer = make_optimizer(o, p);
      GradPass pass;
      for (uint64_t step = 0; step < 3; ++step) {
        for (auto& x : p) x.tensor.mutable_grad() = randn(x.tensor.sizes(), 7 + step) * 1024;
        if (folded) {
          read_gradients(p, 1.0 / 1024, pass);
          optimizer->set_grad_factor(clip_factor(pass.norm.item<double>(), 2.0) / 1024);
        } else {
          pass = unscale_and_norm(p, at::full({}, 1.0f / 1024));
          clip_(p, pass.norm, 2.0);
        }
        optimizer->step(pass.found_inf);
        results.push_back(pass.norm.clone());
      }
      for (const auto& x : p) results.push_back(x.tensor.detach().clone());
    }
    for (size_t i = 0; i < results.size() / 2; ++i)
      CHECK(max_abs_diff(results[i], results[i + results.size() / 2]) <= 2e-6 * results[i].abs().max().item<double>());
  }
  const at::Tensor w = at::zeros({3}).set_requires_grad(true);
  w.mutable_grad() = at::full({3}, INFINITY);
  GradPass pass;
  read_gradients({{"w", w, Role::hidden}}, 0.5, pass);
  CHECK(pass.found_inf.item<float>() == 1);
}

TEST_CASE("reading a scaled gradient once equals unscaling it") {
  const auto run = [](bool read, double max_norm) {
    const ParamList p{{"w", randn({6, 5}, 1).set_requires_grad(true), Role::hidden}};
    GradScaler scaler;
    OptimizerOptions o;
    o.name = "sgd";
    o.momentum = 0;
    auto optimizer = make_optimizer(o, p);
    const at::Tensor scale = scaler.scale(at::ones({}));
    p[0].tensor.mutable_grad() = randn({6, 5}, 2) * scale;
    const GradPass pass = read ? scaler.read("o", p) : scaler.unscale("o", p);
    if (read) {
      CHECK(pass.pending == (1.0 / 65536));
      multiply_on_read(*optimizer, pass.pending * clip_factor(pass.norm.item<double>(), max_norm));
    } else {
      clip_(p, pass.norm, max_norm);
    }
    optimizer->step(scaler.step("o"));
    scaler.update();
    return std::vector<at::Tensor>{p[0].tensor.detach().clone(), pass.norm.clone()};
  };
  for (const double max_norm : {1e9, 1.0, 1e-28}) {  // the last factor is applied in place
    const auto a = run(true, max_norm), b = run(false, max_norm);
    CHECK(max_abs_diff(a[0], b[0]) <= 1e-7);
    CHECK(a[1].item<double>() == Approx(b[1].item<double>()).epsilon(1e-12));
  }
  // A gradient that is not dense memory is unscaled as before.
  const at::Tensor w = at::zeros({4}).set_requires_grad(true);
  w.mutable_grad() = at::full({4, 2}, 3.0f).select(1, 0);
  GradPass untouched;
  CHECK_FALSE(read_gradients({{"w", w, Role::hidden}}, 0.5, untouched));
  CHECK_FALSE(untouched.norm.defined());
  GradScaler off({.enabled = false});
  CHECK(off.read("o", {{"w", w, Role::hidden}}).pending == 1);
}

TEST_CASE("matrices that share vectors have the bits of single ones") {
  const auto schedule = ns_schedule("polar_express", 5, {});
  std::vector<float> coefficients;
  for (const auto& step : schedule.steps)
    for (const double c : step) coefficients.push_back(static_cast<float>(c));
  for (const char* name : {"base", "avx2", "avx512"}) {
    const host::TriGemm* table = host::tri_gemm_named(name);
    if (!table) continue;
    for (const auto& [rows, columns] : std::vector<std::pair<int64_t, int64_t>>{{24, 48}, {48, 24}, {7, 9}, {16, 16}, {1, 5}, {31, 30}, {40, 44}}) {
      INFO(name << " " << rows << " x " << columns);
      for (const bool gram : {false, true}) {
        const int64_t count = table->lanes.count, size = rows * columns, stride = (size + 15) / 16 * 16;
        at::Tensor stack = at::zeros({count, stride});
        for (int64_t l = 0; l < count; ++l) stack[l].narrow(0, 0, size).copy_(randn({size}, 9 + static_cast<uint64_t>(l)) * (0.5 / std::sqrt(static_cast<double>(size))));
        at::Tensor singles = stack.clone();
        std::vector<float> scratch(static_cast<size_t>(table->lanes.workspace(std::min(rows, columns), std::max(rows, columns), gram) + 16));
        auto* line = scratch.data() + (64 - reinterpret_cast<uintptr_t>(scratch.data()) % 64) % 64 / 4;
        table->lanes.run(rows, columns, stack.mutable_data_ptr<float>(), stride, coefficients.data(), 5, gram, line);
        std::vector<float> workspace(static_cast<size_t>(host::tri_workspace(rows, columns, OrthVariant::gram) + table->scratch(48)));
        for (int64_t l = 0; l < count; ++l) {
          float* x = singles[l].mutable_data_ptr<float>();
          const float* result = host::iterate({*table, *table}, x, rows, columns, schedule, gram ? OrthVariant::gram : OrthVariant::standard, workspace.data());
          CHECK(std::equal(result, result + size, stack[l].const_data_ptr<float>()));
        }
      }
    }
  }
}

TEST_CASE("a stack's other matrices do not feel a NaN or a zero") {
  const int64_t lanes = host::orth_lanes(24, 48, OrthVariant::automatic, 5), stride = host::orth_lanes_stride(24, 48);
  REQUIRE(lanes >= 4);
  CHECK(host::orth_lanes(256, 256, OrthVariant::automatic, 5) == 0);
  at::Tensor stack = randn({lanes, stride}, 4);
  stack[1].zero_();
  stack[2][7] = NAN;
  const at::Tensor before = stack.clone();
  std::vector<double> sums;
  for (int64_t l = 0; l < lanes; ++l) sums.push_back(stack[l].narrow(0, 0, 24 * 48).to(at::kDouble).square().sum().item<double>());
  std::vector<float> workspace(static_cast<size_t>(host::orth_lanes_workspace(24, 48, OrthVariant::automatic)));
  const auto schedule = ns_schedule("polar_express", 5, {});
  host::orthogonalize_lanes(stack.mutable_data_ptr<float>(), lanes - 1, 24, 48, sums.data(), schedule, EpsMode::scale_free, OrthVariant::automatic, workspace.data());
  CHECK(stack[1].abs().max().item<float>() == 0);
  CHECK(at::isnan(stack[2]).any().item<bool>() == false);  // a norm that is not a number gives no update, as for single matrices
  for (const int64_t l : {int64_t{0}, int64_t{3}}) {
    const at::Tensor single = host::orthogonalize(before[l].narrow(0, 0, 24 * 48).view({24, 48}), schedule, EpsMode::scale_free, OrthVariant::automatic);
    CHECK(max_abs_diff(single.view({-1}), stack[l].narrow(0, 0, 24 * 48)) <= 1e-6);
  }
}
