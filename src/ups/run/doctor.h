// `ups-train doctor`: threads, BLAS and its speed, GPU, disk and fsync time.
#pragma once

namespace ups::run {

// Prints to stdout; returns the exit code.
int run_doctor();

}  // namespace ups::run
