#include "ups/core/hash.h"

#include <xxhash.h>

namespace ups {
namespace {
std::string hex(const unsigned char* bytes, size_t n) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * n);
  for (size_t i = 0; i < n; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}
std::string hex128(XXH128_hash_t h) {
  XXH128_canonical_t c;
  XXH128_canonicalFromHash(&c, h);
  return hex(c.digest, sizeof c.digest);
}
}  // namespace

uint64_t hash64(const void* data, size_t bytes, uint64_t seed) { return XXH3_64bits_withSeed(data, bytes, seed); }

std::string hash64_hex(const void* data, size_t bytes) {
  XXH64_canonical_t c;
  XXH64_canonicalFromHash(&c, XXH3_64bits(data, bytes));
  return hex(c.digest, sizeof c.digest);
}

std::string hash128_hex(const void* data, size_t bytes) { return hex128(XXH3_128bits(data, bytes)); }

struct Hash128::Impl {
  XXH3_state_t* state = XXH3_createState();
};
Hash128::Hash128() : impl_(std::make_unique<Impl>()) { XXH3_128bits_reset(impl_->state); }
Hash128::~Hash128() { XXH3_freeState(impl_->state); }
void Hash128::update(const void* data, size_t bytes) { XXH3_128bits_update(impl_->state, data, bytes); }
std::string Hash128::hex() const { return hex128(XXH3_128bits_digest(impl_->state)); }

}  // namespace ups
