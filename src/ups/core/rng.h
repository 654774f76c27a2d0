// Counter-based random numbers: randomness is a value derived from named keys, never hidden state.
// Philox4x32-10 (Salmon et al., SC 2011). Same keys, same numbers, on every machine and thread count.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

namespace ups {

// Sub-seed for a purpose: sub_seed(seed, "loader"), sub_seed(seed, "init.operator").
uint64_t sub_seed(uint64_t seed, std::string_view name);
// Mixes further integers (stage, epoch, sample ..) into a key.
uint64_t mix_seed(uint64_t key, uint64_t value);

std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// A stream of numbers for one (key, stream) pair; cheap to construct.
class RandomStream {
 public:
  explicit RandomStream(uint64_t key, uint64_t stream = 0) : key_(key), stream_(stream) {}
  uint32_t next_u32();
  uint64_t next_u64();
  double uniform();              // [0, 1), 53 bits
  double uniform(double lo, double hi) { return lo + (hi - lo) * uniform(); }
  double normal();               // N(0, 1), Box-Muller, both values used
  uint64_t below(uint64_t n);    // [0, n), unbiased

 private:
  uint64_t key_, stream_, counter_ = 0;
  std::array<uint32_t, 4> block_{};
  int used_ = 4;
  bool has_spare_ = false;
  double spare_ = 0;
};

// Keyed bijection of [0, n): Feistel network with cycle walking, so a shuffled order needs no stored list.
class Permutation {
 public:
  Permutation(uint64_t n, uint64_t key);
  uint64_t operator()(uint64_t i) const;  // i < n
  uint64_t size() const { return n_; }

 private:
  uint64_t n_, key_;
  int half_bits_;
};

}  // namespace ups
