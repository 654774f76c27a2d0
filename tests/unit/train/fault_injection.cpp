#include "fault_injection.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>

namespace {

ups::test::Fault g_fault;
bool g_armed = false;
int g_calls = 0;
std::string g_trace;

// True: the call must fail now (errno is set).
bool fails(const char* call, const char* name = "") {
  if (!g_armed) return false;
  using Kind = ups::test::Fault;
  ++g_calls;
  g_trace += std::string(call) + (*name != '\0' ? " " : "") + name + "\n";
  const bool now = g_calls == g_fault.at, later = g_calls > g_fault.at;
  if (now && g_fault.kind == Kind::kill) ::kill(::getpid(), SIGKILL);
  const bool hit = (now && g_fault.kind == Kind::error) || ((now || later) && g_fault.kind == Kind::sticky_error);
  if (hit) errno = g_fault.number;
  return hit;
}

}  // namespace

namespace ups::test {

void arm(const Fault& fault) {
  g_fault = fault;
  g_calls = 0;
  g_trace.clear();
  g_armed = true;
}

int disarm() {
  g_armed = false;
  return g_calls;
}

const std::string& trace() { return g_trace; }

}  // namespace ups::test

extern "C" {

ssize_t write(int fd, const void* data, size_t bytes) {
  if (fd > 2 && fails("write")) return -1;
  if (fd > 2 && g_armed && g_fault.kind == ups::test::Fault::short_write && g_calls == g_fault.at && bytes > 1) bytes /= 2;
  return syscall(SYS_write, fd, data, bytes);
}

int fsync(int fd) {
  if (fails("fsync")) return -1;
  return fd < 0 ? -1 : 0;  // durability against power loss is not tested here, and real syncs take milliseconds
}

int close(int fd) {
  const bool failed = fails("close");
  const int error = errno;
  const int rc = static_cast<int>(syscall(SYS_close, fd));
  if (!failed) return rc;
  errno = error;
  return -1;
}

int openat(int dir, const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const int mode = va_arg(list, int);
  va_end(list);
  if (fails("openat", path)) return -1;
  return static_cast<int>(syscall(SYS_openat, dir, path, flags, mode));
}

int mkdirat(int dir, const char* path, mode_t mode) __THROW {
  if (fails("mkdirat")) return -1;
  return static_cast<int>(syscall(SYS_mkdirat, dir, path, mode));
}

int renameat(int from_dir, const char* from, int to_dir, const char* to) __THROW {
  if (fails("renameat", to)) return -1;
  return static_cast<int>(syscall(SYS_renameat2, from_dir, from, to_dir, to, 0));
}

int renameat2(int from_dir, const char* from, int to_dir, const char* to, unsigned flags) __THROW {
  if (fails("renameat2", to)) return -1;
  return static_cast<int>(syscall(SYS_renameat2, from_dir, from, to_dir, to, flags));
}

int unlinkat(int dir, const char* path, int flags) __THROW {
  if (fails("unlinkat")) return -1;
  return static_cast<int>(syscall(SYS_unlinkat, dir, path, flags));
}

}  // extern "C"
