// twinwire, the server: hands the process's arguments and environment to the command line, and the server to
// it.
#include <unistd.h>

#include <iostream>

#include "tools/twinwire/cli.h"
#include "tools/twinwire/serve.h"

int main(int argc, char** argv) {
  std::size_t variables = 0;
  while (environ[variables] != nullptr) ++variables;
  return twinwire::run_cli({
      .arguments = {argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)},
      .environment = {environ, variables},
      .out = std::cout,
      .err = std::cerr,
      .run_server = twinwire::run_server,
  });
}
