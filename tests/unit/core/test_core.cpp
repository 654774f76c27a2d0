#include <cmath>
#include <set>

#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/fft.h"
#include "ups/core/hash.h"
#include "ups/core/rng.h"
#include "ups/core/text.h"

using namespace ups;

TEST_CASE("philox known answers (Random123 kat_vectors)") {
  CHECK(philox4x32({0, 0, 0, 0}, {0, 0}) == std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox4x32({~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}) ==
        std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        std::array<uint32_t, 4>{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("a permutation visits every index once and depends on the key") {
  for (uint64_t n : {1ull, 2ull, 7ull, 64ull, 1000ull, 4097ull}) {
    const Permutation p(n, 5);
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < n; ++i) {
      REQUIRE(p(i) < n);
      seen.insert(p(i));
    }
    CHECK(seen.size() == n);
  }
  const Permutation a(1000, 1), b(1000, 2);
  int equal = 0;
  for (uint64_t i = 0; i < 1000; ++i) equal += a(i) == b(i);
  CHECK(equal < 20);
}

TEST_CASE("random streams have the right moments") {
  RandomStream s(sub_seed(3, "test"));
  double mean = 0, square = 0;
  for (int i = 0; i < 40000; ++i) {
    const double x = s.normal();
    mean += x;
    square += x * x;
  }
  CHECK(std::abs(mean / 40000) < 0.02);
  CHECK(std::abs(square / 40000 - 1) < 0.03);
}

TEST_CASE("fft equals the sum it stands for") {
  for (size_t n : {8u, 15u, 64u}) {
    Fft fft(n);
    std::vector<double> x(n), back(n);
    RandomStream s(1);
    for (auto& v : x) v = s.normal();
    std::vector<std::complex<double>> c(n / 2 + 1);
    fft.rfft(x, c);
    for (size_t k = 0; k <= n / 2; ++k) {
      std::complex<double> sum = 0;
      for (size_t j = 0; j < n; ++j)
        sum += x[j] * std::polar(1.0, -2 * M_PI * static_cast<double>(j * k) / static_cast<double>(n));
      CHECK(std::abs(sum - c[k]) < 1e-12);
    }
    fft.irfft(c, back);
    for (size_t j = 0; j < n; ++j) CHECK(back[j] == Approx(x[j]).margin(1e-13));
  }
}

TEST_CASE("foreign text is escaped, errors stay one line") {
  CHECK(escape_text("a\n\x1b[31m\xff\xc3\xa9") == "a\\x0A\\x1B[31m\\xFF\xc3\xa9");
  const Error e(ExitCode::data, "f.h5:/a\nb", "bad", "fix it");
  CHECK(e.line() == "f.h5:/a\\x0Ab: bad; fix it");
  CHECK(Error(ExitCode::data, "", std::string(1000, 'x')).line().size() <= 360);
}

TEST_CASE("did you mean") {
  const std::vector<std::string> keys{"training.batch_size", "training.dt", "latent.dim"};
  CHECK(nearest("trainng.batch_size", keys) == "training.batch_size");
  CHECK(nearest("training.bacth_size", keys) == "training.batch_size");
  CHECK(nearest("zzz.unrelated", keys).empty());
}

TEST_CASE("byte sizes") {
  int64_t b = 0;
  CHECK((parse_bytes("512MiB", b) && b == 512ll << 20));
  CHECK((parse_bytes("64 KiB", b) && b == 65536));
  CHECK((parse_bytes("123", b) && b == 123));
  CHECK_FALSE(parse_bytes("12 parsec", b));
  CHECK(hash128_hex("").size() == 32);
}
