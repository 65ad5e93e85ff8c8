// `twinbench replay`: chat logs said again through a server, by their own people, and every reader's
// transcript held against the file. Not here: reading logs (irc_log.h), the readers (participant.h).
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bench/client/http.h"

namespace twinwire::bench {

struct ReplayOptions {
  client::Endpoint to;
  std::vector<std::string> files;  // empty: logs made from the seed
  uint32_t generated = 6;
  uint32_t generated_lines = 1500;
  double speed = 5000;
  uint64_t seed = 1;
  bool json = false;
  bool quiet = false;
  pid_t server = 0;  // 0: unknown, no CPU and memory in the report
};

// 0: every transcript equals its file; 1: some do not; 2: the run could not begin.
int replay(const ReplayOptions& options);

}  // namespace twinwire::bench
