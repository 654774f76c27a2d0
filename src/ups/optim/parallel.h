// The one parallel helper: independent tasks on torch's thread count. Its .cpp is the only file compiled with -fopenmp, because
// at::parallel_for runs serially, without a word, in files that are not.
#pragma once
#include <cstdint>
#include <memory>
#include <type_traits>

namespace ups::optim {

// A reference to a callable f(task, worker), valid while that lives: unlike std::function it never allocates.
class TaskRef {
 public:
  template <class F>
    requires(!std::is_same_v<std::remove_cvref_t<F>, TaskRef>)
  TaskRef(const F& f)
      : object_(std::addressof(f)), call_([](const void* o, int64_t task, int64_t worker) { (*static_cast<const F*>(o))(task, worker); }) {}
  void operator()(int64_t task, int64_t worker) const { call_(object_, task, worker); }

 private:
  const void* object_;
  void (*call_)(const void*, int64_t, int64_t);
};

// Calls f(task, worker) for every task in [0, tasks), worker < parallel_workers(). Serial inside another parallel region. BLAS calls in
// f run on one thread, so results do not depend on the number of threads. The first exception is rethrown.
void parallel_tasks(int64_t tasks, TaskRef f);
// The same in the calling thread: for work that is too small to share.
void serial_tasks(int64_t tasks, TaskRef f);
int64_t parallel_workers();

}  // namespace ups::optim
