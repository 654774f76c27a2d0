// The number grammar of configurations (docs/reference/config.md, "Numbers"): no octal, hex, underscores or sexagesimals.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace ups::config {

// value is set if ok; otherwise hint says how to write what was probably meant ("write 1000"), or is empty.
struct IntResult {
  bool ok = false;
  int64_t value = 0;
  std::string hint;
};
struct RealResult {
  bool ok = false;
  double value = 0;
  std::string hint;
};

IntResult parse_integer(std::string_view text);  // [+-]?(0|[1-9][0-9]*)
RealResult parse_real(std::string_view text);    // integers, 0.5, .5, 5., 3e-4; never inf or nan
std::string format_real(double value);           // shortest text that reads back as the same double

std::string format_bound(double value);          // for people: 1048576, 0.5, 1e+09

}  // namespace ups::config
