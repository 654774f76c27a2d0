// Runs a function in a forked child with RLIMIT_AS, RLIMIT_CPU and a system-call filter.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace ups::data {

struct SandboxLimits {
  int64_t extra_bytes = int64_t{2} << 30;  // address space on top of what the process already has
  int64_t cpu_seconds = 600;
};

// Returns what `work` returned in the child. An Error thrown there is thrown again here; a child that dies or runs out of memory is
// exit 3 with `place`. Call it while the process has one thread.
std::string run_in_sandbox(const std::function<std::string()>& work, const std::string& place,
    const SandboxLimits& limits = SandboxLimits());

}  // namespace ups::data
