// Replaces the C library's file calls in this test program: every call made by the code under test is counted, and one of
// them can be made to kill the process or to fail. No hook is needed in the product, so release builds are tested as
// shipped.
#pragma once
#include <string>

namespace ups::test {

struct Fault {
  enum Kind { none, kill, error, sticky_error, short_write } kind = none;
  int at = 0;      // 1 = the first counted call
  int number = 0;  // errno of error and sticky_error
};

// Starts counting write, fsync, close, openat, mkdirat, renameat, renameat2 and unlinkat. fsync itself is skipped (speed).
void arm(const Fault& fault);
// Stops; returns the number of calls counted.
int disarm();
// Names of the calls counted since arm(), in order: "openat model.safetensors", "fsync", ...
const std::string& trace();

}  // namespace ups::test
