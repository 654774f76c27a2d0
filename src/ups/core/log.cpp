#include "ups/core/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <mutex>
#include <set>

#include "ups/core/text.h"

namespace ups::log {
namespace {

struct Sinks {
  std::shared_ptr<spdlog::sinks::stderr_sink_mt> console = std::make_shared<spdlog::sinks::stderr_sink_mt>();
  spdlog::logger logger{"ups", console};
  Sinks() {
    logger.set_level(spdlog::level::debug);
    console->set_level(spdlog::level::info);
    console->set_pattern("%v");
    logger.flush_on(spdlog::level::debug);
  }
};

Sinks& sinks() {
  static Sinks s;
  return s;
}

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warn: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
    case Level::off: return spdlog::level::off;
  }
  return spdlog::level::info;
}

}  // namespace

void write(Level level, std::string_view message) {
  const std::string prefix = level == Level::warn ? "warning: " : level == Level::error ? "error: " : "";
  // A message may hold several lines (tables); each is escaped on its own.
  for (const auto& line : split(message, '\n')) sinks().logger.log(to_spdlog(level), "{}", prefix + escape_text(line));
}

void set_level(Level level) { sinks().console->set_level(to_spdlog(level)); }

bool parse_level(std::string_view text, Level& level) {
  const std::string t = lower(text);
  if (t == "debug") level = Level::debug;
  else if (t == "info") level = Level::info;
  else if (t == "warn" || t == "warning") level = Level::warn;
  else if (t == "error") level = Level::error;
  else if (t == "off" || t == "none") level = Level::off;
  else return false;
  return true;
}

void add_file(const std::string& path) {
  auto sink = std::make_shared<spdlog::sinks::basic_file_sink_mt>(path);
  sink->set_pattern("%Y-%m-%d %H:%M:%S.%e %l %v");
  sinks().logger.sinks().push_back(std::move(sink));
}

void notice_once(std::string_view message) {
  static std::mutex mutex;
  static std::set<std::string, std::less<>> seen;
  {
    const std::lock_guard lock(mutex);
    if (!seen.emplace(message).second) return;
  }
  write(Level::info, "notice: " + std::string(message));
}

}  // namespace ups::log
