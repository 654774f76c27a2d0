#include "ups/run/console.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "ups/core/log.h"

namespace ups::run {
namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

size_t terminal_width() {
  winsize w{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 100;
}

std::string duration(double seconds) {
  const auto s = static_cast<int64_t>(seconds);
  return s >= 3600 ? fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60) : fmt::format("{:02}:{:02}", s / 60, s % 60);
}

}  // namespace

Console::Console(const std::string& mode, double every, int stage_index, int stage_count)
    : every_(every), last_(now()), index_(stage_index), count_(stage_count) {
  const char* term = std::getenv("TERM");
  const bool terminal = isatty(STDERR_FILENO) != 0 && term != nullptr && std::strcmp(term, "dumb") != 0 && std::getenv("CI") == nullptr;
  bar_ = mode == "bar" || (mode == "auto" && terminal);
  plain_ = mode == "plain" || (mode == "auto" && !terminal);
}

Console::~Console() { clear(); }

bool Console::wants() const { return (bar_ && now() - last_ > 0.1) || (plain_ && now() - last_ > every_); }

void Console::show(const train::Progress& p) {
  last_ = now();
  std::string line = fmt::format("stage {}/{} {}  epoch {}/{}  {}/{}  loss {:.3g}", index_, count_, p.stage, std::min(p.epoch + 1, p.epochs),
                                 p.epochs, p.batch, p.batches, p.loss);
  if (p.last_score < 1e299) line += fmt::format("  val {:.3g} (best {:.3g})", p.last_score, p.best);
  line += fmt::format("  gnorm {:.2g}  lr {:.2g}  {:.0f} samp/s  ETA {}", p.grad_norm, p.lr, p.samples_per_second, duration(p.seconds_left));
  if (!bar_) {
    log::info(line);
    return;
  }
  const size_t width = terminal_width();
  if (line.size() >= width) line.resize(width - 1);
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  std::fflush(stderr);
  drawn_ = true;
}

void Console::clear() {
  if (!drawn_) return;
  std::fputs("\r\033[K", stderr);
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace ups::run
