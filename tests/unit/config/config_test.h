// Helpers of the configuration tests.
#pragma once
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "ups/config/errors.h"
#include "ups/run/run_config.h"

namespace config_test {

namespace fs = std::filesystem;

// A folder below the temporary one, removed at the end.
class Folder {
 public:
  Folder() {
    static int count = 0;
    path_ = fs::temp_directory_path() / ("ups-config-" + std::to_string(::getpid()) + "-" + std::to_string(count++));
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return (path_ / name).string();
  }
  std::string path(const std::string& name) const { return (path_ / name).string(); }

 private:
  fs::path path_;
};

inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

inline ups::run::LoadedConfig load_text(const std::string& text, const ups::run::Overrides& o = {}) {
  return ups::run::load_run_config_text(text, "c.yaml", o);
}

// Error lines of a configuration text, or "" if it loads; every error must have exit code 2.
inline std::vector<std::string> errors_of(const std::string& text, const ups::run::Overrides& o = {}) {
  std::vector<std::string> out;
  try {
    load_text(text, o);
  } catch (const ups::config::ConfigErrors& e) {
    for (const auto& one : e.errors()) out.push_back((one.code() == ups::ExitCode::usage ? "" : "WRONG CODE ") + one.line());
  } catch (const ups::Error& e) {
    out.push_back((e.code() == ups::ExitCode::usage ? "" : "WRONG CODE ") + e.line());
  }
  return out;
}

inline std::string first_error(const std::string& text, const ups::run::Overrides& o = {}) {
  const auto all = errors_of(text, o);
  return all.empty() ? "" : all.front();
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace config_test
