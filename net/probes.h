// What this kernel can do beyond Linux 6.1, asked once at start; below 6.1 the server refuses with one
// sentence. Everything here has a path that works without it, and `all_off` (configuration
// `debug.probes_off`) makes a run prove that. Any thread; plain values.
#pragma once

#include <string>
#include <string_view>

#include "core/status.h"

namespace twinwire {

struct Probes {
  // Linux 6.8: a direct descriptor can be turned into a plain one (IORING_OP_FIXED_FD_INSTALL), which passing
  // live sockets to a successor will need.
  bool fd_install = false;
  // "6.18.44-generic", for the log.
  std::string kernel;

  // Which of them are on, for the start line: "fd_install" or "none".
  std::string text() const;
};

// Whether a kernel's release ("6.1.0-18-amd64") is Linux 6.1 or newer; one that cannot be read is not.
bool new_enough(std::string_view release);

// Asks the running kernel. An error is one clear sentence: too old, or io_uring forbidden by the system.
Result<Probes> probe_kernel(bool all_off);

}  // namespace twinwire
