// The one parallel helper: independent tasks on torch's thread count. Its .cpp is the only file compiled with -fopenmp, because
// at::parallel_for runs serially, without a word, in files that are not.
#pragma once
#include <cstdint>
#include <functional>

namespace ups::optim {

// Calls f(task, worker) for every task in [0, tasks), worker < parallel_workers(). Serial inside another parallel region. BLAS calls in
// f run on one thread, so results do not depend on the number of threads. The first exception is rethrown.
void parallel_tasks(int64_t tasks, const std::function<void(int64_t, int64_t)>& f);
// The same in the calling thread: for work that is too small to share.
void serial_tasks(int64_t tasks, const std::function<void(int64_t, int64_t)>& f);
int64_t parallel_workers();

}  // namespace ups::optim
