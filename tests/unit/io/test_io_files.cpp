#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmath>
#include <csignal>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>

#include "temp_dir.h"
#include "test_common.h"
#include "ups/core/error.h"
#include "ups/io/files.h"
#include "ups/io/jsonl.h"

using namespace ups;
namespace fs = std::filesystem;

namespace {
std::string slurp(const fs::path& p) {
  std::ifstream f(p, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}
template <class F>
Error thrown(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e;
  }
  FAIL("nothing thrown");
  return {ExitCode::ok, "", ""};
}
size_t count_entries(const fs::path& dir) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(dir), fs::directory_iterator()));
}
}  // namespace

TEST_CASE("atomic writes replace files, never follow links, and leave nothing behind") {
  test::TempDir dir;
  io::write_text_atomic(dir / "a", "one");
  io::write_text_atomic(dir / "a", "two");
  CHECK(slurp(dir / "a") == "two");
  fs::create_symlink(dir / "a", dir / "link");
  io::write_text_atomic(dir / "link", "three");
  CHECK(slurp(dir / "a") == "two");
  CHECK(!fs::is_symlink(dir / "link"));
  CHECK_THROWS_AS(io::write_atomic(dir / "a",
                                   [](io::OutputFile& f) {
                                     f.write("half");
                                     throw std::runtime_error("stop");
                                   }),
                  std::runtime_error);
  CHECK(slurp(dir / "a") == "two");
  CHECK(count_entries(dir.path()) == 2);
  const Error e = thrown([&] { io::write_text_atomic(dir / "no/such/place", "x"); });
  CHECK(e.code() == ExitCode::io);
  CHECK(e.message().find("No such file") != std::string::npos);
}

TEST_CASE("a full disk is exit 7 with the bytes needed, the older file is intact") {
  test::TempDir dir;
  io::write_text_atomic(dir / "a", "old");
  const pid_t child = ::fork();
  if (child == 0) {  // RLIMIT_FSIZE stands in for the disk: EFBIG once SIGXFSZ is ignored
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    int code = 1;
    try {
      io::write_text_atomic(dir / "a", std::string(100000, 'x'));
    } catch (const Error& e) {
      const std::string text = e.what();
      const bool good =
          text.find("File too large") != std::string::npos && text.find("needs 97.7 KiB") != std::string::npos;
      code = good ? static_cast<int>(e.code()) : 2;
    }
    ::_exit(code);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 7);
  CHECK(slurp(dir / "a") == "old");
  CHECK(count_entries(dir.path()) == 1);
}

TEST_CASE("bounded reading") {
  test::TempDir dir;
  io::write_text_atomic(dir / "a", "0123456789");
  CHECK(io::read_text(dir / "a", {.max_bytes = 10}) == "0123456789");
  CHECK(thrown([&] { io::read_file(dir / "a", {.max_bytes = 9, .code = ExitCode::data}); }).code() == ExitCode::data);
  CHECK(thrown([&] { io::read_file(dir / "missing", {.code = ExitCode::checkpoint}); }).code() == ExitCode::checkpoint);
  CHECK(thrown([&] { io::read_file(dir.path(), {.code = ExitCode::checkpoint}); }).code() == ExitCode::checkpoint);
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(thrown([&] { io::read_file(dir / "fifo", {.code = ExitCode::checkpoint}); }).message() == "is not a regular file");
  fs::create_symlink(dir / "a", dir / "link");
  CHECK(io::read_file(dir / "link").size == 10);
  CHECK_THROWS_AS(io::read_file(dir / "link", {.follow = false}), Error);
}

TEST_CASE("JSON lines hold finite numbers, and survive a torn last line") {
  test::TempDir dir;
  const fs::path path = dir / "metrics.jsonl";
  io::JsonLine line;
  line.add("kind", "epoch")
      .add("n", 3)
      .add("loss", 0.1)
      .add("best", std::numeric_limits<double>::infinity())
      .add("nan", std::nan(""));
  line.add("ok", true).add("text", "a\"\\\n\x1b\xff").add_null("none").add("small", 5e-324).add("third", 1.0 / 3);
  const auto j = nlohmann::json::parse(line.text());
  CHECK(j["n"] == 3);
  CHECK(j["best"].is_null());
  CHECK(j["nan"].is_null());
  CHECK(j["ok"] == true);
  CHECK(j["small"].get<double>() == 5e-324);
  CHECK(j["third"].get<double>() == 1.0 / 3);
  CHECK(j["text"].get<std::string>().find("\\xFF") != std::string::npos);
  uint64_t length = 0;
  {
    io::JsonlWriter log(path);
    log.append(line);
    log.sync();
    length = log.bytes();
    log.append("{\"x\":1}");
  }
  CHECK(slurp(path) == line.text() + "\n{\"x\":1}\n");
  std::ofstream(path, std::ios::app) << "{\"torn\":";
  {
    io::JsonlWriter log(path);
    log.append("{\"y\":2}");
  }
  CHECK(slurp(path) == line.text() + "\n{\"x\":1}\n{\"y\":2}\n");
  io::truncate_log(path, length);
  CHECK(slurp(path) == line.text() + "\n");
  CHECK(thrown([&] { io::truncate_log(path, length + 1); }).code() == ExitCode::checkpoint);
  CHECK(thrown([&] { io::truncate_log(dir / "none", 1); }).code() == ExitCode::checkpoint);
  io::truncate_log(dir / "none", 0);
  std::ofstream(dir / "long") << std::string(9000, 'x');  // no newline at all, longer than a block
  CHECK(io::JsonlWriter(dir / "long").bytes() == 0);
}
