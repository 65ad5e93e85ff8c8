// The command line of twinwire: which command, which configuration. Not the server (serve). Main thread.
#pragma once

#include <functional>
#include <ostream>
#include <span>

#include "core/config.h"

namespace twinwire {

// After sysexits, where they fit.
enum ExitCode : int {
  kExitOk = 0,
  kExitFailure = 1,
  kExitNotNeeded = 2,  // `token` in auth.mode none
  kExitUsage = 64,
  kExitConfig = 78,
};

// What the command line acts on; main passes the process's own, tests theirs.
struct CliHost {
  std::span<const char* const> arguments;    // without the program's name
  std::span<const char* const> environment;  // "NAME=value"
  std::ostream& out;
  std::ostream& err;
  // The second reads the configuration again, from the same places.
  std::function<int(const Config&, const std::function<Result<Config>()>&)> run_server;
};

// Runs one command to its end and returns the process's exit code.
int run_cli(const CliHost& host);

}  // namespace twinwire
