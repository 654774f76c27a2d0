#include <cstring>
#include <string>
#include <vector>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/rng.h"
#include "ups/io/safetensors.h"

using namespace ups;

namespace {

std::string file_of(const std::string& header, size_t data_bytes, int64_t declared = -1) {
  std::string out(8, '\0');
  const uint64_t n = declared < 0 ? header.size() : static_cast<uint64_t>(declared);
  std::memcpy(out.data(), &n, 8);
  return out + header + std::string(data_bytes, '\1');
}

std::string refusal(const std::string& file) {
  try {
    io::parse_safetensors({file.data(), file.size()}, "x.safetensors");
  } catch (const Error& e) {
    CHECK(e.code() == ExitCode::checkpoint);
    CHECK(e.place() == "x.safetensors");
    return e.message();
  }
  return "";
}

}  // namespace

TEST_CASE("safetensors round trip in the documented order") {
  test::TempDir dir;
  const std::vector<float> f{1, 2, 3, 4, 5, 6};
  const std::vector<int64_t> i{-7};
  const std::vector<uint8_t> b{9, 8, 7};
  const std::vector<io::TensorView> tensors{{"z", "F32", {2, 3}, f.data(), 24},
                                            {"u", "U8", {3}, b.data(), 3},
                                            {"a", "F32", {3}, f.data(), 12},
                                            {"s", "I64", {}, i.data(), 8},
                                            {"e", "F32", {0, 4}, nullptr, 0}};
  io::write_safetensors(dir / "t.safetensors", tensors, {{"format", "pt"}, {"note", "\"quoted\""}});
  const io::Bytes bytes = io::read_file(dir / "t.safetensors");
  CHECK(bytes.size == io::safetensors_size(tensors, {{"format", "pt"}, {"note", "\"quoted\""}}));
  uint64_t n = 0;
  std::memcpy(&n, bytes.data.get(), 8);
  CHECK(n % 8 == 0);
  const auto view = io::parse_safetensors(bytes.span(), "t");
  CHECK(view.metadata.at("note") == "\"quoted\"");
  REQUIRE(view.tensors.size() == 5);
  std::string order;
  for (const auto& t : view.tensors) order += t.name;
  CHECK((order == "saezu" || order == "seazu"));  // e is empty and shares its offset with a neighbour
  for (const auto& t : view.tensors) {
    for (const auto& o : tensors) {
      if (o.name != t.name) continue;
      CHECK(t.dtype == o.dtype);
      CHECK(t.shape == o.shape);
      REQUIRE(t.bytes == o.bytes);
      if (o.bytes > 0) CHECK(std::memcmp(t.data, o.data, o.bytes) == 0);
    }
  }
}

TEST_CASE("safetensors of strangers are refused with a reason") {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(refusal(file_of(good, 8)).empty());
  CHECK(refusal(file_of(good + "   ", 8)).empty());
  struct Case {
    std::string header;
    size_t data;
    std::string reason;
  };
  const std::vector<Case> cases{
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 8,
       "duplicate key"},
      {R"({"a":{"dtype":"F32","dtype":"I32","shape":[2],"data_offsets":[0,8]}})", 8, "duplicate key"},
      {R"({"__metadata__":{"k":"1","k":"2"}})", 0, "duplicate key"},
      {R"({"__metadata__":{"k":1}})", 0, "unexpected number"},
      {R"({"__metadata__":{"k":{"x":"y"}}})", 0, "nested too deep"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 9, "does not fit its shape"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "cover 8 of 9"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "outside the data"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "hole"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8,
       "overlaps"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "outside the data"},
      {R"({"a":{"dtype":"F33","shape":[2],"data_offsets":[0,8]}})", 8, "unknown dtype"},
      {R"({"a":{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}})", 8, "negative"},
      {R"({"a":{"dtype":"F32","shape":[2.0],"data_offsets":[0,8]}})", 8, "fraction"},
      {R"({"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", 0, "overflows"},
      {R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]}})", 8, "overflows"},
      {R"({"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,8]}})", 8, "64 bits"},
      {R"({"a":{"dtype":"F32","shape":[2]}})", 8, "lacks"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "two numbers"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8,9]}})", 8, "unexpected number"},
      {R"({"a":{"dtype":"F32","shape":[[2]],"data_offsets":[0,8]}})", 8, "unexpected list"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"extra":1}})", 8, "unknown member"},
      {R"({"a":null})", 0, "null"},
      {R"({"a":"b"})", 0, "unexpected string"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]})", 8, "not valid JSON"},
      {"{\"\xff\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "not valid JSON"},
      {R"([1,2])", 0, "start with '{'"},
      {R"( {})", 0, "start with '{'"},
      {R"({}{})", 0, "not valid JSON"},
  };
  for (const auto& c : cases) {
    INFO(c.header);
    CHECK_THAT(refusal(file_of(c.header, c.data)), Catch::Contains(c.reason));
  }
  CHECK_THAT(refusal(""), Catch::Contains("shorter"));
  CHECK_THAT(refusal(file_of(good, 8, 100'000'001)), Catch::Contains("header length"));
  CHECK_THAT(refusal(file_of(good, 8, INT64_MAX)), Catch::Contains("header length"));
  CHECK_THAT(refusal(file_of(std::string(100000, '{'), 0)), Catch::Contains("safetensors"));
  std::string shape = "1";
  for (int k = 0; k < 100; ++k) shape += ",1";
  CHECK_THAT(refusal(file_of("{\"a\":{\"dtype\":\"U8\",\"shape\":[" + shape + "],\"data_offsets\":[0,1]}}", 1)),
             Catch::Contains("64 dimensions"));
  CHECK(refusal(file_of("{}", 0)).empty());
}

TEST_CASE("random damage never crashes the safetensors parser") {
  const std::string good = file_of(
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"U8","shape":[],"data_offsets":[8,9]}})",
      9);
  REQUIRE(refusal(good).empty());
  RandomStream random(7);
  int refused = 0;
  for (int k = 0; k < 20000; ++k) {
    std::string bad = good;
    const int edits = 1 + static_cast<int>(random.below(3));
    for (int e = 0; e < edits; ++e) {
      const size_t at = random.below(bad.size());
      switch (random.below(3)) {
        case 0: bad[at] = static_cast<char>(random.below(256)); break;
        case 1: bad.erase(at, 1 + random.below(4)); break;
        default: bad.insert(at, 1, "{}[]\",:0919"[random.below(11)]);
      }
      if (bad.empty()) bad = "x";
    }
    try {
      io::parse_safetensors({bad.data(), bad.size()}, "x");
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 10000);
}
