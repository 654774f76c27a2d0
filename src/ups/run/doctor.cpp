#include "ups/run/doctor.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>

#include "ups/core/torch_compat.h"
#include "ups/run/session.h"

namespace ups::run {
namespace {

template <class F>
double seconds_of(F&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double matmul_gflops(int64_t n) {
  const at::Tensor a = at::rand({n, n}), b = at::rand({n, n});
  at::Tensor c = at::mm(a, b);
  double best = 1e30;
  for (int i = 0; i < 8; ++i) best = std::min(best, seconds_of([&] { at::mm_out(c, a, b); }));
  return 2.0 * static_cast<double>(n * n * n) / best / 1e9;
}

double fsync_milliseconds() {
  char name[] = "./.ups-doctor-XXXXXX";
  const int fd = mkstemp(name);
  if (fd < 0) return -1;
  const char byte = 0;
  const double s = seconds_of([&] {
    if (write(fd, &byte, 1) == 1) fsync(fd);
  });
  close(fd);
  unlink(name);
  return s * 1e3;
}

}  // namespace

int run_doctor() {
  const int threads = default_threads();
  at::set_num_threads(threads);
  std::cout << fmt::format("LibTorch        {}\n", TORCH_VERSION);
  std::cout << fmt::format("threads         {} (physical cores of this process)\n", threads);
  std::cout << fmt::format("BLAS            {}\n", at::hasMKL() ? "MKL" : at::hasLAPACK() ? "BLAS with LAPACK" : "none");
  const double gflops = matmul_gflops(512);
  std::cout << fmt::format("fp32 matmul     {:.0f} GF/s at n = 512 on {} thread(s){}\n", gflops, threads,
                           gflops / threads < 20 ? "  WARNING: under 20 GF/s per core, a reference BLAS or a busy machine" : "");
  std::cout << fmt::format("GPU             {}\n", at::hasCUDA() ? "CUDA device found" : "none (CPU training)");
  const double sync = fsync_milliseconds();
  std::cout << (sync < 0 ? std::string("disk            the current folder is not writable\n")
                         : fmt::format("disk            fsync {:.1f} ms in the current folder\n", sync));
  return 0;
}

}  // namespace ups::run
