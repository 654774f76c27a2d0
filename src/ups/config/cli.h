// What the three programs share: common flags, error lines, exit codes (docs/reference/exit-codes.md).
// CLI11 only splits the command line; every error text, suggestion and code is ours.
#pragma once
#include <CLI/CLI.hpp>
#include <functional>
#include <string>

#include "ups/core/error.h"

namespace ups::config {

struct CommonFlags {
  std::string log_level = "info";  // debug | info | warn | error | off
  bool log_json = false;           // errors as one JSON object per line
  bool quiet = false;              // warnings and errors only
  std::string version_details;     // further lines of --version (LibTorch, CUDA, BLAS), set by the program
};

// Adds --log-level, --log-json, --quiet and --version.
void add_common(CLI::App& app, CommonFlags& flags);

// Parses the command line, then runs `body` and returns its exit code. Errors of either become one line on stderr,
//   <program>: <place>: <what>; <hint>      or, with --log-json, {"error":{"code":..,"place":..,"message":..,"hint":..}}
// and the exit code: command line and configuration 2, ups::Error its own, std::bad_alloc 6, anything else 1.
int run_main(const char* program, int argc, char** argv, CLI::App& app, CommonFlags& flags,
             const std::function<int()>& body);

// "0.1.0 (commit abc123, g++ 12.2.0)".
std::string version_text();

// The line(s) that run_main would print; used by it and by tests.
std::string error_text(const char* program, const Error& error, bool json);

}  // namespace ups::config
