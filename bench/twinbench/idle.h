// `twinbench idle`: N connections, half SSE and half WebSocket, all in one room, each a session and a user of
// its own; what one costs the server in user space (private memory) and what the kernel's slab holds for it,
// beside bare pairs of sockets held by floor_send; then one broadcast that must reach all. Not here: the
// readers (sink.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace twinwire::bench {

struct IdleOptions {
  std::string program;  // the twinwire to start
  std::string floor;    // the floor_send to start; empty: no bare pairs
  uint32_t connections = 45'000;
  uint32_t bare_pairs = 15'000;  // one process holds them, so at most what its descriptors allow
  uint32_t shards = 2;
  std::string scratch = "/tmp";
  std::vector<std::string> settings;
  bool json = false;
};

// 0: held, and the broadcast reached all; 1: not; 2: the run could not begin.
int idle(const IdleOptions& options);

}  // namespace twinwire::bench
