// Signals as flags that the training loop polls (reliability.md 6).
//   TERM INT HUP USR1   first: finish the update, save, exit 128 + n; second: leave at once with the same code
//   USR2                checkpoint and continue
//   XFSZ PIPE           ignored, so that the write fails and says why
#pragma once
#include <optional>

namespace ups::train {

// Process-wide; call once at start, before threads.
void install_signal_handlers();

// The first of TERM, INT, HUP, USR1 that arrived.
std::optional<int> stop_requested();
// USR2 arrived since the last call.
bool take_checkpoint_request();

// 129 HUP, 130 INT, 138 USR1, 143 TERM.
int exit_code_for(int signal);
const char* signal_name(int signal);

// For tests: forget what arrived.
void reset_signals();

}  // namespace ups::train
