// Settings of the process that every program makes at start-up.
#pragma once

namespace ups {

// Keeps freed memory in the process: without this glibc returns each large temporary to the kernel and the next step pays the page
// faults again (10 to 30 % of a training step). No effect with another malloc.
void raise_malloc_thresholds();

// Seconds of a clock that never jumps: for durations.
double wall_seconds();
// CPU time of this process so far, all threads.
double cpu_seconds();

}  // namespace ups
