#include "ups/data/leak.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ups/core/error.h"
#include "ups/core/hash.h"

namespace ups::data {

void check_leaks(Dataset& data, const std::function<std::string(int64_t)>& place) {
  struct Seen {
    Split split;
    int64_t trajectory;
  };
  std::unordered_map<uint64_t, Seen> seen;
  const size_t frame = static_cast<size_t>(data.info().channels * data.info().cells());
  const size_t hashed = std::min<size_t>(frame, 4096) * sizeof(float);
  std::vector<float> buffer(frame);
  Seen found_a{}, found_b{};
  int64_t pairs = 0;
  for (Split split : {Split::train, Split::val, Split::test}) {
    for (int64_t n : data.members(split)) {
      data.read(n, 0, 1, buffer);
      const auto it = seen.emplace(hash64(buffer.data(), hashed), Seen{split, n});
      const Seen& other = it.first->second;
      if (it.second || other.split == split || other.trajectory == n) continue;  // pdebench_exact: val is test by intention
      if (pairs++ == 0) {
        found_a = other;
        found_b = {split, n};
      }
    }
  }
  if (pairs == 0) return;
  throw data_error(place(found_b.trajectory),
                   fmt::format("expected disjoint splits, found the first frame of this {} trajectory in {} too ({}), {} equal pair{}",
                               to_string(found_b.split), to_string(found_a.split), place(found_a.trajectory), pairs,
                                   pairs == 1 ? "" : "s"),
                   "use data.split_mode: hash, or --allow-overlap");
}

}  // namespace ups::data
