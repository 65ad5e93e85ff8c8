// The server's wiring: engine, store, network, listeners and signals, from one Config. Not the command line
// (cli). Called once, on the main thread; returns when the server has drained.
#pragma once

#include <functional>

#include "core/config.h"

namespace twinwire {

// Serves until SIGTERM or SIGINT. The process's exit code: 0 after a clean drain, 1 if it could not start or
// go on (the reason is on stderr). `config` is valid and outlives the call.
// `reload` reads the configuration again, from where it came.
int run_server(const Config& config, const std::function<Result<Config>()>& reload);

}  // namespace twinwire
