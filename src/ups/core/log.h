// Logging to stderr (and optionally a file). The only file that knows spdlog is log.cpp.
#pragma once
#include <string>
#include <string_view>

namespace ups::log {

enum class Level { debug, info, warn, error, off };

// Lines go to stderr as plain text; control characters are escaped. Thread-safe.
void write(Level level, std::string_view message);
inline void debug(std::string_view m) { write(Level::debug, m); }
inline void info(std::string_view m) { write(Level::info, m); }
inline void warn(std::string_view m) { write(Level::warn, m); }
inline void error(std::string_view m) { write(Level::error, m); }

void set_level(Level level);
// Accepts debug, info, warn(ing), error, off in any case; false if unknown.
bool parse_level(std::string_view text, Level& level);
// From now on every line is also appended to this file (run.log), whatever the console level.
void add_file(const std::string& path);
// A notice that is printed once per distinct text and process ("ignored: training.compile (no effect on a CPU)").
void notice_once(std::string_view message);

}  // namespace ups::log
