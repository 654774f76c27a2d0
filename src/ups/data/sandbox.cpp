#include "ups/data/sandbox.h"

#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <new>
#include <vector>

#include "ups/core/error.h"

namespace ups::data {
namespace {

// No network, no programs, no tracing: those calls fail with EPERM. Not a jail, a second line behind the reader's own checks.
void forbid_calls() {
  static const int kForbidden[] = {SYS_socket, SYS_connect, SYS_bind,   SYS_execve, SYS_execveat, SYS_ptrace,
                                   SYS_mount,  SYS_unlinkat, SYS_linkat, SYS_symlinkat, SYS_renameat2, SYS_kill};
  std::vector<sock_filter> program;
#if defined(__x86_64__)
  constexpr uint32_t kArch = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
  constexpr uint32_t kArch = AUDIT_ARCH_AARCH64;
#else
  return;
#endif
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, kArch, 1, 0));
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL));
  program.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
  for (int call : kForbidden) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<uint32_t>(call), 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (EPERM & SECCOMP_RET_DATA)));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);  // best effort: may be absent
}

int64_t address_space() {
  long pages = 0;
  if (std::FILE* f = std::fopen("/proc/self/statm", "r")) {
    if (std::fscanf(f, "%ld", &pages) != 1) pages = 0;
    std::fclose(f);
  }
  return static_cast<int64_t>(pages) * sysconf(_SC_PAGESIZE);
}

void limit(const SandboxLimits& limits) {
  const rlim_t bytes = static_cast<rlim_t>(address_space() + limits.extra_bytes),
      seconds = static_cast<rlim_t>(limits.cpu_seconds);
  const rlimit memory{bytes, bytes}, cpu{seconds, seconds + 1}, core{0, 0};
  setrlimit(RLIMIT_AS, &memory);
  setrlimit(RLIMIT_CPU, &cpu);
  setrlimit(RLIMIT_CORE, &core);
}

void put(std::string& message, const std::string& field) { message += fmt::format("{:08x}", field.size()) + field; }

std::string take(const std::string& message, size_t& at) {
  if (at + 8 > message.size()) return "";
  const size_t n = std::strtoul(message.substr(at, 8).c_str(), nullptr, 16);
  at += 8;
  const std::string field = message.substr(at, n);
  at += field.size();
  return field;
}

[[noreturn]] void child(const std::function<std::string()>& work, const SandboxLimits& limits, int out) {
  for (int signal : {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGXCPU}) std::signal(signal, SIG_DFL);
  limit(limits);
  forbid_calls();
  std::string message;
  try {
    const std::string text = work();
    message = "K";
    put(message, text);
  } catch (const Error& e) {
    message = "E";
    put(message, fmt::format("{}", static_cast<int>(e.code())));
    put(message, e.place());
    put(message, e.message());
    put(message, e.hint());
  } catch (const std::bad_alloc&) {
    message = "M";
  } catch (const std::exception& e) {
    message = "X";
    put(message, e.what());
  }
  for (size_t at = 0; at < message.size();) {
    const ssize_t n = ::write(out, message.data() + at, message.size() - at);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    at += static_cast<size_t>(n);
  }
  _exit(0);
}

}  // namespace

std::string run_in_sandbox(const std::function<std::string()>& work, const std::string& place, const SandboxLimits& limits) {
  int ends[2];
  if (pipe(ends) != 0) throw io_error(place, fmt::format("cannot create a pipe: {}", std::strerror(errno)));
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid < 0) throw io_error(place, fmt::format("cannot start a child process: {}", std::strerror(errno)));
  if (pid == 0) {
    close(ends[0]);
    child(work, limits, ends[1]);
  }
  close(ends[1]);
  std::string message;
  char buffer[4096];
  constexpr size_t kMaxMessage = size_t{16} << 20;
  for (;;) {
    const ssize_t n = ::read(ends[0], buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    if (message.size() < kMaxMessage) message.append(buffer, static_cast<size_t>(n));
  }
  close(ends[0]);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0 || message.empty()) {
    const std::string how = WIFSIGNALED(status) ? fmt::format("signal {} ({})", WTERMSIG(status), strsignal(WTERMSIG(status)))
                                                : fmt::format("exit status {}", WEXITSTATUS(status));
    throw data_error(place, "expected a file that can be read, found one that kills the reader: " + how, "do not use this file");
  }
  size_t at = 1;
  switch (message[0]) {
    case 'K': return take(message, at);
    case 'E': {
      const int code = std::atoi(take(message, at).c_str());
      const std::string where = take(message, at), what = take(message, at), hint = take(message, at);
      throw Error(static_cast<ExitCode>(code), where, what, hint);
    }
    case 'M': throw data_error(place, fmt::format("expected a file that can be read within {} bytes, found one that needs more",
        limits.extra_bytes));
    default: throw data_error(place, "expected a file that can be read, found: " + take(message, at));
  }
}

}  // namespace ups::data
