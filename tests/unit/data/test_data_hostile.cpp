// D3: hostile and damaged files end in exit 3 with one line, and nothing outside the file is opened.
#include <sys/inotify.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstring>

#include "data_test.h"
#include "test_common.h"
#include "ups/core/rng.h"
#include "ups/data/normalizer.h"
#include "ups/data/sandbox.h"
#include "ups/data/validate.h"

using namespace ups;
using namespace ups::test;
using data::Dataset;
using data::DataOptions;

namespace {

// Counts opens of one file by any means, from creation until asked.
class OpenWatch {
 public:
  explicit OpenWatch(const std::string& path) : fd_(inotify_init1(IN_NONBLOCK)) {
    REQUIRE(inotify_add_watch(fd_, path.c_str(), IN_OPEN | IN_ACCESS) >= 0);
  }
  ~OpenWatch() { close(fd_); }
  bool opened() const {
    char buffer[4096];
    return read(fd_, buffer, sizeof buffer) > 0;
  }

 private:
  int fd_;
};

// A Burgers file whose /tensor the caller makes; 4 trajectories, 3 frames, 8 cells.
Error open_with(const TempDir& dir, const std::function<void(MakeH5&)>& tensor) {
  const std::string file = dir.file("Burgers_Nu0.01.h5");
  {
    MakeH5 f(file);
    f.dataset("/x-coordinate", {8}, cell_centres(8));
    f.dataset("/t-coordinate", {4}, times(3, 0.1));
    tensor(f);
  }
  return error_of([&] { Dataset::open(options_for(dir, file, 4)); });
}

std::vector<char> bytes_of(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

void write_bytes(const std::string& path, const std::vector<char>& b, size_t n) {
  std::ofstream(path, std::ios::binary).write(b.data(), static_cast<std::streamsize>(n));
}

}  // namespace

TEST_CASE("the watch itself works") {
  const TempDir dir;
  make_burgers(dir.file("a.h5"), 4, 3, 8);
  const OpenWatch watch(dir.file("a.h5"));
  CHECK_FALSE(watch.opened());
  Dataset::open(options_for(dir, dir.file("a.h5"), 4));
  CHECK(watch.opened());
}

TEST_CASE("nothing outside the file is opened") {
  const TempDir dir;
  const std::string outside = dir.file("outside.h5");
  make_burgers(outside, 4, 3, 8);
  const OpenWatch watch(outside);
  SECTION("external link") {
    CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { f.external_link("/tensor", outside, "/tensor"); }), "external link"));
  }
  SECTION("external link deep inside") {
    const Error e = open_with(dir, [&](MakeH5& f) {
      f.dataset("/tensor", {4, 3, 8}, [](int64_t k) { return static_cast<float>(k); });
      f.group("/a/b");
      f.external_link("/a/b/c", outside, "/");
    });
    CHECK(is_data_error(e, "/a/b/c"));
  }
  SECTION("external storage") {
    CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { f.external_storage("/tensor", {4, 3, 8}, outside); }), "external file"));
  }
  SECTION("virtual dataset") {
    CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { f.virtual_dataset("/tensor", {4, 3, 8}, outside, "/tensor"); }),
        "virtual"));
  }
  SECTION("external coordinate of a good tensor") {
    const Error e = open_with(dir, [&](MakeH5& f) {
      f.dataset("/tensor", {4, 3, 8}, [](int64_t k) { return static_cast<float>(k); });
      f.external_storage("/z-coordinate", {8}, outside);
    });
    CHECK((e.code() == ExitCode::ok || e.code() == ExitCode::data));  // not needed, so it may be left alone
  }
  CHECK_FALSE(watch.opened());
}

TEST_CASE("links: soft loop, dangling, hard cycle, depth") {
  const TempDir dir;
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.soft_link("/tensor", "/tensor"); }), "soft link"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.soft_link("/tensor", "/x-coordinate"); }), "soft link"));
  const auto good = [](MakeH5& f) { f.dataset("/tensor", {4, 3, 8}, [](int64_t k) { return static_cast<float>(k); }); };
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.soft_link("/other", "/nowhere"); }), "/other"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.group("/a/b"), f.hard_link("/a/b/up", "/a"); }), "/a/b/up"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.hard_link("/root", "/"); }), "hard link"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.group("/a/b/c/d/e/f/g"); }), "levels"));
  CHECK(open_with(dir, [&](MakeH5& f) { good(f), f.hard_link("/alias", "/tensor"); }).code() == ExitCode::ok);
}

TEST_CASE("sizes, classes and ranks") {
  const TempDir dir;
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {1024, 1024, 4096}, {1, 64, 64}); }),
      "stored bytes"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {1 << 20, 1 << 10, 1 << 10}, {1, 64, 64}); }),
      "at most"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {int64_t{1} << 40, 1, 1}, {64, 1, 1}); }),
      "2^31"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) {
    f.empty_dataset("/tensor", {int64_t{1} << 30, int64_t{1} << 30, int64_t{1} << 30}, {1, 1, 64}); }), "2^63"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {4, 8192, 16384}, {1, 8192, 16384}); }),
      "256 MiB"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {0, 3, 8}, {1, 3, 8}); }),
      "at least one trajectory"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.empty_dataset("/tensor", {4, 0, 8}, {1, 1, 8}); }), "at least one"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.dataset("/tensor", {2, 2, 1, 1, 1, 1, 1, 1}, {1.f, 2.f, 3.f, 4.f}); }),
      "rank"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.scalar_dataset("/tensor"); }), "scalar"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.vlen_dataset("/tensor", 96); }), "variable-length"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.string_dataset("/tensor", 96); }), "string"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.compound_dataset("/tensor", 96); }), "compound"));
  CHECK(is_data_error(open_with(dir, [](MakeH5& f) { f.group("/tensor"); }), "tensor/"));
  H5Store how;
  how.chunk = {1, 3, 8};
  how.unknown_filter = 305;
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { f.dataset("/tensor", {4, 3, 8},
      [](int64_t k) { return static_cast<float>(k); }, how); }), "filter 305"));
}

TEST_CASE("attributes: sizes, encodings, numbers") {
  const TempDir dir;
  const auto good = [](MakeH5& f) { f.dataset("/tensor", {4, 3, 8}, [](int64_t k) { return static_cast<float>(k); }); };
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.text("/", "config", std::string(5000, 'x'), true); }), "4096"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.text("/", "config", "\xff\xfe", true); }), "UTF-8"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.numbers("/", "nu", {1, 2}); }), "one number"));
  CHECK(is_data_error(open_with(dir, [&](MakeH5& f) { good(f), f.number("/", "nu", std::nan("")); }), "finite"));
  const Error e = open_with(dir, [&](MakeH5& f) {
    good(f);
    for (int i = 0; i < 1100; ++i) f.integer("/", "a" + std::to_string(i), i);
  });
  CHECK(is_data_error(e, "1024 attributes"));
}

TEST_CASE("values: NaN and Inf name trajectory and frame, wherever they are met") {
  const TempDir dir;
  const auto tensor = [](float bad) {
    return [bad](MakeH5& f) { f.dataset("/tensor", {4, 3, 8},
        [bad](int64_t k) { return k == 1 * 24 + 2 * 8 + 3 ? bad : static_cast<float>(k); }); };
  };
  CHECK(is_data_error(open_with(dir, tensor(std::nanf(""))), "Burgers_Nu0.01.h5:/tensor[1]"));
  CHECK(is_data_error(open_with(dir, tensor(INFINITY)), "frame 2"));
  DataOptions o = options_for(dir, dir.file("Burgers_Nu0.01.h5"), 4);
  o.cache = "none";
  const auto d = Dataset::open(o);
  CHECK(is_data_error(error_of([&] { data::Normalizer::fit(*d, "meanstd"); }), "/tensor[1]"));
  CHECK(is_data_error(error_of([&] { data::validate({dir.file("Burgers_Nu0.01.h5")}); }), "1 damaged: 1"));
}

TEST_CASE("not HDF5, missing, truncated, wrong kind of file") {
  const TempDir dir;
  const std::string file = dir.file("b.h5");
  make_burgers(file, 64, 11, 32);
  const std::vector<char> whole = bytes_of(file);
  const auto open = [&] { return error_of([&] { Dataset::open(options_for(dir, file, 64)); }); };
  for (size_t n : {size_t{0}, size_t{4}, size_t{8}, size_t{100}, whole.size() / 2, whole.size() - 1}) {
    write_bytes(file, whole, n);
    CHECK(is_data_error(open(), "b.h5"));
  }
  std::ofstream(file) << "a text file, not data";
  CHECK(is_data_error(open(), "signature"));
  std::filesystem::remove(file);
  CHECK(is_data_error(open(), "no such file"));
  std::filesystem::create_directory(file);
  CHECK(is_data_error(open(), "directory"));
}

TEST_CASE("corrupt LZF and deflate streams") {
  const TempDir dir;
  for (const bool lzf : {true, false}) {
    H5Store how;
    how.chunk = {8, 11, 32};
    how.lzf = lzf;
    how.deflate = !lzf;
    const std::string file = dir.file("b.h5");
    make_burgers(file, 64, 11, 32, 0.01, how);
    std::vector<char> b = bytes_of(file);
    // The chunks fill the middle of the file; a run of 0xff there is no valid stream of either kind.
    std::fill(b.begin() + static_cast<std::ptrdiff_t>(b.size() / 2), b.begin() + static_cast<std::ptrdiff_t>(b.size() / 2 + 64),
        '\xff');
    write_bytes(file, b, b.size());
    DataOptions o = options_for(dir, file, 64);
    o.cache = "none";
    CHECK(is_data_error(error_of([&] { data::validate({file}); }), "b.h5:/tensor"));
  }
}

TEST_CASE("a flipped bit under Fletcher32 is found; elsewhere the sidecar finds it") {
  const TempDir dir;
  const std::string file = dir.file("b.h5");
  H5Store how;
  how.chunk = {8, 11, 32};
  how.fletcher32 = true;
  make_burgers(file, 64, 11, 32, 0.01, how);
  std::vector<char> b = bytes_of(file);
  b[b.size() / 2] ^= 1;
  write_bytes(file, b, b.size());
  CHECK(is_data_error(error_of([&] { data::validate({file}); }), "b.h5:/tensor"));

  make_burgers(file, 64, 11, 32);
  data::ValidateOptions v;
  v.checksum = true;
  CHECK(contains(data::validate({file}, v), "checksum written"));
  CHECK(contains(data::validate({file}, v), "checksum matches"));
  b = bytes_of(file);
  b[b.size() / 2] ^= 1;
  write_bytes(file, b, b.size());
  CHECK(is_data_error(error_of([&] { data::validate({file}, v); }), "checksum"));
}

TEST_CASE("200 random flips: exit 3 or the file is accepted, never a crash that is not reported") {
  const TempDir dir;
  const std::string file = dir.file("b.h5");
  H5Store how;
  how.chunk = {4, 5, 16};
  how.shuffle = how.lzf = true;
  make_burgers(file, 8, 5, 16, 0.01, how);
  const std::vector<char> good = bytes_of(file);
  data::ValidateOptions v;
  v.untrusted = true;
  RandomStream random(5);
  int refused = 0;
  for (int i = 0; i < 200; ++i) {
    std::vector<char> b = good;
    for (int k = 0; k < 4; ++k) b[random.below(b.size())] ^= static_cast<char>(1u << random.below(8));
    write_bytes(file, b, b.size());
    const Error e = error_of([&] { data::validate({file}, v); });
    REQUIRE((e.code() == ExitCode::ok || e.code() == ExitCode::data));
    refused += e.code() == ExitCode::data;
    if (e.code() == ExitCode::data) REQUIRE(e.line().find('\n') == std::string::npos);
  }
  CHECK(refused > 20);  // otherwise the flips hit nothing and the test is empty
}

TEST_CASE("the sandbox: results, errors, crashes, memory, network") {
  CHECK(data::run_in_sandbox([] { return std::string("fine"); }, "f.h5") == "fine");
  CHECK(is_data_error(error_of([] { data::run_in_sandbox([]() -> std::string { raise(SIGSEGV); return ""; }, "f.h5"); }),
      "f.h5"));
  CHECK(is_data_error(error_of([] { data::run_in_sandbox([]() -> std::string { _exit(9); }, "f.h5"); }), "exit status 9"));
  const Error thrown = error_of([] {
    data::run_in_sandbox([]() -> std::string { throw data_error("f.h5:/tensor", "expected a, found b", "hint"); }, "f.h5");
  });
  CHECK(thrown.line() == "f.h5:/tensor: expected a, found b; hint");
  data::SandboxLimits limits;
  limits.extra_bytes = 64 << 20;
  limits.cpu_seconds = 1;
#if !defined(UPS_TEST_ASAN)
  CHECK(is_data_error(error_of([&] {
    data::run_in_sandbox([]() -> std::string { return std::string(size_t{1} << 30, 'x').substr(0, 1); }, "f.h5", limits); }),
        "needs more"));
#endif
  CHECK(is_data_error(error_of([&] {
    data::run_in_sandbox([]() -> std::string {
      std::atomic<uint64_t> n{0};
      while (n.fetch_add(1) < ~uint64_t{0}) {
      }
      return "";
    }, "f.h5", limits); }), "kills the reader"));
  CHECK(data::run_in_sandbox([] { return std::string(execl("/bin/true", "true", nullptr) == -1 ? "no programs" : ""); },
      "f.h5") == "no programs");
}

TEST_CASE("validate: a good file, leaks, several files") {
  const TempDir dir;
  log::set_level(log::Level::error);
  make_burgers(dir.file("Burgers_Nu0.01.h5"), 64, 3, 8);
  data::ValidateOptions v;
  v.leaks = v.untrusted = true;
  const std::string report = data::validate({dir.file("Burgers_Nu0.01.h5")}, v);
  CHECK(contains(report, "ok, pdebench of burgers1d, 64 trajectories"));
  CHECK(contains(report, "no equal first frames"));
}

// Runs `work` in a child and returns its number; -1 if it threw. A child starts with the memory of its parent, so everything that
// could leave something behind (writing the files too) happens in one.
static int64_t in_child(const std::function<int64_t()>& work) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    int64_t result = -1;
    try {
      result = work();
    } catch (...) {
    }
    _exit(write(ends[1], &result, sizeof result) == sizeof result ? 0 : 1);
  }
  close(ends[1]);
  int64_t result = -1;
  REQUIRE(read(ends[0], &result, sizeof result) == sizeof result);
  close(ends[0]);
  waitpid(pid, nullptr, 0);
  return result;
}

// Peak resident KiB after opening without cache and reading all of the train split.
static int64_t resident_after_reading(const DataOptions& options) {
  return in_child([&] {
    const auto d = Dataset::open(options);
    data::Normalizer::fit(*d, "meanstd");
    std::FILE* f = std::fopen("/proc/self/status", "r");
    char line[256];
    int64_t kib = -1;
    while (f && std::fgets(line, sizeof line, f)) {
      if (std::strncmp(line, "VmHWM:", 6) == 0) kib = std::atoll(line + 6);
    }
    if (f) std::fclose(f);
    return kib;
  });
}

#if !defined(UPS_TEST_ASAN)  // its quarantine keeps what we free
TEST_CASE("memory: ten times the file, less than ten percent more memory") {
  const TempDir dir;
  log::set_level(log::Level::error);
  H5Store how;
  how.chunk = {4, 21, 256};
  how.shuffle = how.lzf = true;
  for (const bool chunked : {false, true}) {
    const int64_t made = in_child([&] {
      make_burgers(dir.file("small_burgers.h5"), 300, 21, 256, 0.01, chunked ? how : H5Store());
      make_burgers(dir.file("large_burgers.h5"), 3000, 21, 256, 0.01, chunked ? how : H5Store());
      return int64_t{1};
    });
    REQUIRE(made == 1);
    DataOptions o;
    o.cache = "none";
    o.files = {dir.file("small_burgers.h5")};
    const int64_t small = resident_after_reading(o);
    o.files = {dir.file("large_burgers.h5")};
    const int64_t large = resident_after_reading(o);
    INFO("chunked " << chunked << ", KiB: " << small << " and " << large);
    CHECK(small > 0);
    CHECK(static_cast<double>(large) < 1.1 * static_cast<double>(small));
  }
}
#endif
