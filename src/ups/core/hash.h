// XXH3 digests as used in manifests, splits and sub-seeds. They detect accidents, not attackers.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ups {

uint64_t hash64(const void* data, size_t bytes, uint64_t seed = 0);  // XXH3-64
std::string hash64_hex(const void* data, size_t bytes);              // 16 hex digits
std::string hash128_hex(const void* data, size_t bytes);             // XXH3-128, 32 hex digits, canonical order
inline std::string hash128_hex(std::string_view text) { return hash128_hex(text.data(), text.size()); }

// XXH3-128 while writing.
class Hash128 {
 public:
  Hash128();
  ~Hash128();
  Hash128(const Hash128&) = delete;
  Hash128& operator=(const Hash128&) = delete;
  void update(const void* data, size_t bytes);
  std::string hex() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace ups
