// User-facing errors. Each carries the exit code of docs/reference/exit-codes.md and prints as one line:
//   <program>: <place>: <what>; <hint>
#pragma once
#include <stdexcept>
#include <string>

namespace ups {

enum class ExitCode : int {
  ok = 0,
  internal = 1,
  usage = 2,       // command line or configuration
  data = 3,        // data files
  checkpoint = 4,  // checkpoint, resume, lineage
  diverged = 5,
  memory = 6,
  io = 7,    // disk, permissions
  busy = 8,  // run directory in use
  peer = 9,  // distributed peer lost
};

// A mistake of the user or of the environment. Programmers' mistakes assert instead.
// place: "file:line:col", "--set 2", "data.h5:/0003/data", "ckpt/operator/step-000000120"; may be empty.
// hint: what to do; may be empty.
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, std::string place, std::string what, std::string hint = {});
  ExitCode code() const { return code_; }
  const std::string& place() const { return place_; }
  const std::string& message() const { return message_; }
  const std::string& hint() const { return hint_; }
  // "place: message; hint", control characters escaped, at most 360 bytes.
  std::string line() const;

 private:
  ExitCode code_;
  std::string place_, message_, hint_;
};

inline Error usage_error(std::string place, std::string what, std::string hint = {}) {
  return {ExitCode::usage, std::move(place), std::move(what), std::move(hint)};
}
inline Error data_error(std::string place, std::string what, std::string hint = {}) {
  return {ExitCode::data, std::move(place), std::move(what), std::move(hint)};
}
inline Error checkpoint_error(std::string place, std::string what, std::string hint = {}) {
  return {ExitCode::checkpoint, std::move(place), std::move(what), std::move(hint)};
}
inline Error io_error(std::string place, std::string what, std::string hint = {}) {
  return {ExitCode::io, std::move(place), std::move(what), std::move(hint)};
}

}  // namespace ups
