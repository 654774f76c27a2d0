#include "ups/optim/parallel.h"

#include <ATen/Parallel.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include <algorithm>
#include <atomic>
#include <exception>

extern "C" int MKL_Set_Num_Threads_Local(int threads) __attribute__((weak));

namespace ups::optim {
namespace {

// A single task, or one thread, is no OpenMP region: MKL would then use every thread it has.
class OneBlasThread {
 public:
  OneBlasThread() : before_(MKL_Set_Num_Threads_Local ? MKL_Set_Num_Threads_Local(1) : 0) {}
  ~OneBlasThread() {
    if (MKL_Set_Num_Threads_Local) MKL_Set_Num_Threads_Local(before_);
  }
  OneBlasThread(const OneBlasThread&) = delete;
  OneBlasThread& operator=(const OneBlasThread&) = delete;

 private:
  int before_;
};

}  // namespace

int64_t parallel_workers() { return std::max(1, at::get_num_threads()); }

void serial_tasks(int64_t tasks, TaskRef f) {
  const OneBlasThread guard;
  for (int64_t i = 0; i < tasks; ++i) f(i, 0);
}

void parallel_tasks(int64_t tasks, TaskRef f) {
  if (tasks <= 0) return;
#ifndef _OPENMP
  serial_tasks(tasks, f);
#else
  const int64_t workers = omp_in_parallel() ? 1 : std::min(tasks, parallel_workers());
  if (workers == 1) return serial_tasks(tasks, f);
  std::atomic<int64_t> next{0};
  std::exception_ptr failure;
  std::atomic<bool> failed{false};
#pragma omp parallel num_threads(static_cast<int>(workers))
  {
    const OneBlasThread guard;
    const int64_t worker = omp_get_thread_num();
    try {
      for (int64_t i = next++; i < tasks && !failed; i = next++) f(i, worker);
    } catch (...) {
      if (!failed.exchange(true)) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
#endif
}

}  // namespace ups::optim
