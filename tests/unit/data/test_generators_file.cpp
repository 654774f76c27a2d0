// Files that the generators write: layout, reproducibility, resuming, refusals.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "test_common.h"
#include "ups/core/error.h"
#include "ups/core/log.h"
#include "ups/data/generators/generators.h"
#include "ups/data/generators/part_file.h"

using namespace ups::data;
namespace fs = std::filesystem;

namespace {

struct TempFolder {
  fs::path path = fs::temp_directory_path() / ("ups_generators_" + std::to_string(::getpid()));
  TempFolder() {
    fs::create_directories(path);
    ups::log::set_level(ups::log::Level::error);
  }
  ~TempFolder() { fs::remove_all(path); }
  std::string operator/(const std::string& name) const { return (path / name).string(); }
};

std::string bytes(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

GenerateOptions small(const std::string& name, const std::string& out, int64_t count) {
  GenerateOptions o;
  o.name = name;
  o.out = out;
  o.count = count;
  o.seed = 7;
  o.nx = name == "ks1d" ? 64 : 16;
  if (name == "ns2d") o.params["nu"] = 0.1;  // so that a coarse grid does
  if (name != "darcy2d") {
    o.save_every = name == "ks1d" ? 1 : 0.05;
    o.t_end = 3 * *o.save_every;
  }
  return o;
}

ups::Error error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const ups::Error& e) {
    return e;
  }
  FAIL("no error");
  return ups::usage_error("", "");
}

}  // namespace

TEST_CASE("the same seed gives the same bytes with 1 and 2 threads, another seed others") {
  const TempFolder dir;
  for (const GeneratorInfo& g : generator_table()) {
    CAPTURE(g.name);
    GenerateOptions o = small(g.name, dir / "one", 20);
    o.threads = 1;
    generate(o);
    o.out = dir / "two";
    o.threads = 2;
    generate(o);
    REQUIRE(bytes(dir / "one") == bytes(dir / "two"));
    REQUIRE(bytes(dir / "one").size() > 1000);
    o.seed = 8;
    o.overwrite = true;
    generate(o);
    REQUIRE(bytes(dir / "one") != bytes(dir / "two"));
    fs::remove(dir / "one");
    fs::remove(dir / "two");
    REQUIRE_FALSE(fs::exists(dir / "two.part"));
    REQUIRE_FALSE(fs::exists(dir / "two.tmp"));
  }
}

TEST_CASE("sample i does not depend on the count") {
  for (const GeneratorInfo& g : generator_table()) {
    const auto settings = resolve(small(g.name, "unused", 1));
    const auto a = g.make(settings), b = g.make(settings);
    const auto late = a->sample(9).frames;
    b->sample(0);
    b->sample(8);
    REQUIRE(b->sample(9).frames == late);
  }
}

TEST_CASE("an interrupted run continues to the same file") {
  const TempFolder dir;
  GenerateOptions o = small("burgers1d", dir / "whole", 40);
  generate(o);
  // The part file of a run that was killed in the middle: 16 samples are complete, a third block is cut off.
  o.out = dir / "resumed";
  o.count = 24;
  o.params["nu"] = 0.01;
  const auto settings = resolve(o);
  const int64_t floats = 8 * settings.frames * settings.nx;
  std::string key;
  {
    GenerateOptions broken = o;    broken.out = dir / "resumed";
    fs::create_directories(dir / "resumed.tmp/x");  // blocks the temporary file
    REQUIRE(error_of([&] { generate(broken); }).code() == ups::ExitCode::io);
    fs::remove_all(dir / "resumed.tmp");
    REQUIRE(fs::exists(dir / "resumed.part"));
    REQUIRE_FALSE(fs::exists(dir / "resumed"));
    key = bytes(dir / "resumed.part").substr(8, 32);
  }
  fs::resize_file(dir / "resumed.part", fs::file_size(dir / "resumed.part") - 10);
  {
    const PartFile part(dir / "resumed.part", key, floats, true);
    REQUIRE(part.blocks() == 2);
    REQUIRE(error_of([&] { const PartFile second(dir / "resumed.part", key, floats, true); }).code() == ups::ExitCode::busy);
  }
  o.count = 40;
  o.resume = true;
  generate(o);
  REQUIRE(bytes(dir / "whole") == bytes(dir / "resumed"));
}

TEST_CASE("resuming with other settings is refused") {
  const TempFolder dir;
  GenerateOptions o = small("darcy2d", dir / "f", 2);
  { PartFile part(dir / "f.part", std::string(32, 'a'), 512, false); }
  o.resume = true;
  const ups::Error e = error_of([&] { generate(o); });
  REQUIRE(e.code() == ups::ExitCode::usage);
  o.resume = false;  // starts anew
  generate(o);
  REQUIRE(fs::exists(dir / "f"));
}

TEST_CASE("mistakes are refused with what is allowed") {
  const auto message = [](const std::function<void(GenerateOptions&)>& change) {
    GenerateOptions o = small("burgers1d", "/nowhere/file", 1);
    change(o);
    const ups::Error e = error_of([&] { generate(o); });
    REQUIRE(e.code() == ups::ExitCode::usage);
    return e.line();
  };
  using Catch::Contains;
  CHECK_THAT(message([](auto& o) { o.name = "burger1d"; }), Contains("did you mean 'burgers1d'?") && Contains("ks1d"));
  CHECK_THAT(message([](auto& o) { o.params["mu"] = 1; }), Contains("no parameter 'mu'") && Contains("nu"));
  CHECK_THAT(message([](auto& o) { o.params["nu"] = 1e-5; }), Contains("--param nu") && Contains("0.001 to 10"));
  CHECK_THAT(message([](auto& o) { o.nx = 100; }), Contains("power of two"));
  CHECK_THAT(message([](auto& o) { o.nx = 1 << 20; }), Contains("allowed: 16 to 4096"));
  CHECK_THAT(message([](auto& o) { o.save_every = 0.07; }), Contains("does not divide"));
  CHECK_THAT(message([](auto& o) { o.ic = "wave"; }), Contains("f1, smooth"));
  CHECK_THAT(message([](auto& o) { o.count = 0; }), Contains("out of range"));
  CHECK_THAT(message([](auto& o) { o.name = "darcy2d"; }), Contains("steady"));
  const TempFolder dir;
  std::ofstream(dir / "there") << "x";
  CHECK_THAT(message([&](auto& o) { o.out = dir / "there"; }), Contains("exists") && Contains("--overwrite"));
  REQUIRE(bytes(dir / "there") == "x");
  GenerateOptions o = small("burgers1d", dir / "no/such/folder/f", 1);
  REQUIRE(error_of([&] { generate(o); }).code() == ups::ExitCode::io);
}
