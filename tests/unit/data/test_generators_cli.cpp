// The program ups-data as a user meets it: exit codes, one-line errors, no LibTorch.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>

#include "test_common.h"

namespace {

struct Result {
  int code;
  std::string text;  // stdout and stderr together
};

Result shell(const std::string& command) {
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::string text;
  char buffer[4096];
  for (size_t n = 0; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) text.append(buffer, n);
  const int status = ::pclose(pipe);
  return {WEXITSTATUS(status), text};
}

const std::string kProgram = UPS_BINARY_DIR "/ups-data";

Result ups_data(const std::string& arguments) { return shell(kProgram + " " + arguments); }

}  // namespace

TEST_CASE("generate, inspect and validate work together") {
  const auto folder = std::filesystem::temp_directory_path() / ("ups_data_cli_" + std::to_string(::getpid()));
  std::filesystem::create_directories(folder);
  for (const std::string options : {"ks1d -n 8 --t-end 2", "darcy2d -n 2 --nx 16", "diffreact2d -n 2 --nx 8 --t-end 0.1",
                                    "ns2d -n 2 --nx 16 --t-end 0.5 --param nu=0.1",
                                    "burgers1d -n 3 --param nu=0.04 --nx 16 --t-end 0.1 --save-every 0.05", "advection1d -n 2 --nx 32"}) {
    const std::string name = options.substr(0, options.find(' ')), file = (folder / (name + ".h5")).string();
    CAPTURE(options);
    const Result made = ups_data("generate " + options + " -o " + file + " --quiet");
    CAPTURE(made.text);
    REQUIRE(made.code == 0);
    REQUIRE(made.text.empty());
    const Result seen = ups_data("inspect " + file);
    REQUIRE(seen.code == 0);
    REQUIRE_THAT(seen.text, Catch::Contains(" of " + name));
    REQUIRE(ups_data("validate " + file).code == 0);
    REQUIRE(ups_data("convert " + file + " -o " + file + ".copy").code == 0);
    REQUIRE_THAT(ups_data("inspect " + file + ".copy").text, Catch::Contains(" of " + name));
    REQUIRE(ups_data("generate " + options + " -o " + file).code == 2);  // never overwrites silently
  }
  std::filesystem::remove_all(folder);
}

TEST_CASE("mistakes on the command line are one line and exit code 2") {
  for (const std::string arguments : {"", "generat", "generate burgers -o x", "generate burgers1d -o x --param nu", "generate burgers1d -o x --param nu=a",
                                      "generate burgers1d -o x --param mu=1", "generate burgers1d -o x -n -3", "generate burgers1d"}) {
    CAPTURE(arguments);
    const Result r = ups_data(arguments);
    CAPTURE(r.text);
    CHECK(r.code == 2);
    CHECK(std::count(r.text.begin(), r.text.end(), '\n') == 1);
    CHECK_THAT(r.text, Catch::StartsWith("ups-data: "));
  }
  CHECK(ups_data("inspect /no/such/file.h5").code == 3);
  CHECK(ups_data("generate --help").code == 0);
}

TEST_CASE("ups-data does not need LibTorch") {
  const Result r = shell("ldd " + kProgram);
  REQUIRE(r.code == 0);
  REQUIRE_THAT(r.text, Catch::Contains("libhdf5"));
  REQUIRE_THAT(r.text, !Catch::Contains("torch"));
}
