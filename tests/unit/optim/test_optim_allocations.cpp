// No memory is allocated by an optimizer step, a gradient pass or an average after the first ones: counted in operator new and in
// ATen's CPU allocator.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/CPUAllocator.h>

#include <atomic>
#include <cstdlib>
#include <new>

#define UPS_TEST_WITH_TORCH
#include "golden_file.h"
#include "test_common.h"
#include "ups/optim/ema.h"
#include "ups/optim/grad_clip.h"
#include "ups/optim/optimizer.h"
#include "ups/optim/orth_host.h"

namespace {

std::atomic<int64_t> allocations{0};

void* counted(std::size_t bytes) {
  ++allocations;
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}

class CountingAllocator final : public at::Allocator {
 public:
  at::DataPtr allocate(std::size_t n) override {
    ++allocations;
    return under_->allocate(n);
  }
  at::DeleterFnPtr raw_deleter() const override { return under_->raw_deleter(); }
  void copy_data(void* to, const void* from, std::size_t n) const override { under_->copy_data(to, from, n); }

 private:
  at::Allocator* under_ = c10::GetCPUAllocator();
};

}  // namespace

void* operator new(std::size_t bytes) { return counted(bytes); }
void* operator new[](std::size_t bytes) { return counted(bytes); }
// Without these two AddressSanitizer would serve them (std::stable_sort asks) and find our delete in their place.
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes > 0 ? bytes : 1);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(bytes > 0 ? bytes : 1);
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

using namespace ups::optim;

TEST_CASE("steps, gradient passes and averages allocate nothing after the first") {
  static CountingAllocator counting;
  c10::SetCPUAllocator(&counting, 255);
  {
    const int64_t before = allocations;
    const at::Tensor t = at::ones({1000});
    REQUIRE(allocations - before >= 2);  // tensor and memory: both counters see what LibTorch does
  }
  for (const int threads : {1, 2})
    for (const char* name : {"adamw", "adam", "muon", "muon bf16", "sgd", "sgd momentum"}) {
      INFO(name << ", " << threads << " threads");
      at::set_num_threads(threads);
      ParamList p;
      const std::vector<std::vector<int64_t>> shapes{{96, 192}, {192, 96}, {12, 12}, {64, 64}, {8, 3, 3, 3}, {96}, {1}, {300000}};
      for (const auto& shape : shapes) {
        const at::Tensor w = at::randn(shape).set_requires_grad(true);
        w.mutable_grad() = at::randn(shape);
        p.push_back({"p" + std::to_string(p.size()), w, Role::hidden});
      }
      OptimizerOptions o;
      o.name = std::string(name).substr(0, std::string(name).find(' '));
      if (std::string(name) == "muon bf16") {
        if (!host::orth_bf16()) continue;
        o.muon_dtype = "bf16";
      }
      o.momentum = std::string(name) == "sgd" ? 0 : 0.9;
      o.nesterov = o.momentum > 0;
      auto optimizer = make_optimizer(o, p);
      std::vector<std::pair<std::string, at::Tensor>> values;
      for (const auto& x : p) values.emplace_back(x.name, x.tensor);
      Ema ema({}, values);
      GradPass pass;
      const at::Tensor inv_scale = at::full({}, 0.5f);
      const auto step = [&](bool folded) {
        if (folded) {
          read_gradients(p, 0.5, pass);
          optimizer->set_grad_factor(0.5 * clip_factor(*pass.norm.const_data_ptr<double>(), 1.0));
        } else {
          unscale_and_norm(p, inv_scale, pass);
          clip_(p, pass.norm, 1.0);
        }
        optimizer->step(pass.found_inf);
        ema.update(pass.found_inf);
      };
      for (int i = 0; i < 3; ++i) step(i % 2 == 0);
      const int64_t before = allocations;
      for (int i = 0; i < 6; ++i) step(i % 2 == 0);
      CHECK(allocations - before == 0);
    }
  at::set_num_threads(1);
}
