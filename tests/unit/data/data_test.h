// Shared by the tests of data/.
#pragma once
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "make_h5.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/data/dataset.h"

#if defined(__SANITIZE_ADDRESS__)
#define UPS_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UPS_TEST_ASAN 1
#endif
#endif

namespace ups::test {

// Options for one file whose last two trajectories are val and test.
inline data::DataOptions options_for(const TempDir& dir, const std::string& file, int64_t n) {
  log::set_level(log::Level::error);
  const std::string split = dir.file("split_" + std::to_string(n) + ".json");
  std::ofstream out(split);
  out << "{\"note\": \"ignored\", \"train\": [";
  for (int64_t i = 0; i + 2 < n; ++i) out << (i ? "," : "") << i;
  out << "], \"val\": [" << n - 2 << "], \"test\": [" << n - 1 << "]}";
  data::DataOptions o;
  o.files = {file};
  o.split_mode = "file";
  o.split_file = split;
  return o;
}

inline std::vector<float> read_frames(data::Dataset& d, int64_t n, int64_t first, int64_t count) {
  std::vector<float> out(static_cast<size_t>(count * d.info().channels * d.info().cells()));
  d.read(n, first, count, out);
  return out;
}

// The whole trajectory equals f(t, c, cell i, cell j) exactly.
inline bool equals(data::Dataset& d, int64_t n, const std::function<float(int64_t, int64_t, int64_t, int64_t)>& f) {
  const data::SetInfo& s = d.info();
  const std::vector<float> got = read_frames(d, n, 0, s.frames);
  const int64_t nx = s.grid[0], ny = s.cells() / nx;
  size_t k = 0;
  for (int64_t t = 0; t < s.frames; ++t) {
    for (int64_t c = 0; c < s.channels; ++c) {
      for (int64_t i = 0; i < nx; ++i) {
        for (int64_t j = 0; j < ny; ++j) {
          if (got[k++] != f(t, c, i, j)) return false;
        }
      }
    }
  }
  return true;
}

// The error of `call`; code ok and empty texts if there is none.
inline Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e;
  }
  return Error(ExitCode::ok, "", "");
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// Exit 3, one short line that says what was expected and what was found.
inline bool is_data_error(const Error& e, const std::string& part) {
  const std::string line = e.line();
  return e.code() == ExitCode::data && contains(line, "expected") && contains(line, "found") && contains(line, part) &&
         line.find('\n') == std::string::npos && line.size() < 400;
}

}  // namespace ups::test
