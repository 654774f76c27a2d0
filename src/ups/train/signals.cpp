#include "ups/train/signals.h"

#include <signal.h>
#include <unistd.h>

#include <atomic>

namespace ups::train {
namespace {

std::atomic<int> g_stop{0};       // 0 or the first stopping signal
std::atomic<unsigned> g_seen{0};  // bit per stopping signal
std::atomic<bool> g_checkpoint{false};
static_assert(std::atomic<int>::is_always_lock_free && std::atomic<bool>::is_always_lock_free,
              "needed inside signal handlers");

constexpr unsigned bit(int signal) { return 1u << signal; }
constexpr unsigned kUserStops = bit(SIGTERM) | bit(SIGINT) | bit(SIGHUP);

extern "C" void on_stop(int signal) {
  int first = 0;
  if (g_stop.compare_exchange_strong(first, signal)) first = signal;
  const unsigned before = g_seen.fetch_or(bit(signal));
  const bool again = (before & bit(signal)) != 0 || ((bit(signal) & kUserStops) != 0 && (before & kUserStops) != 0);
  // Whatever was written so far is a temporary or complete: leaving here is as safe as a SIGKILL. USR1 followed by one TERM
  // (batch systems do that) is no second request.
  if (again) _exit(128 + first);
}

extern "C" void on_checkpoint(int) { g_checkpoint.store(true); }

void handle(int signal, void (*handler)(int)) {
  struct sigaction action{};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;  // library calls that do not expect EINTR keep working
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  for (const int s : {SIGTERM, SIGINT, SIGHUP, SIGUSR1}) handle(s, on_stop);
  handle(SIGUSR2, on_checkpoint);
  handle(SIGXFSZ, SIG_IGN);
  handle(SIGPIPE, SIG_IGN);
}

std::optional<int> stop_requested() {
  const int signal = g_stop.load(std::memory_order_relaxed);
  return signal == 0 ? std::nullopt : std::optional<int>(signal);
}

bool take_checkpoint_request() { return g_checkpoint.load(std::memory_order_relaxed) && g_checkpoint.exchange(false); }

int exit_code_for(int signal) { return 128 + signal; }

const char* signal_name(int signal) {
  switch (signal) {
    case SIGTERM: return "SIGTERM";
    case SIGINT: return "SIGINT";
    case SIGHUP: return "SIGHUP";
    case SIGUSR1: return "SIGUSR1";
    case SIGUSR2: return "SIGUSR2";
    default: return "signal";
  }
}

void reset_signals() {
  g_stop = 0;
  g_seen = 0;
  g_checkpoint = false;
}

}  // namespace ups::train
