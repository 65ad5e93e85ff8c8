// `twinbench fanout`: one room, N readers; CPU of the whole server process per delivered message, beside a
// bare send() loop of the same bytes to as many sockets, in turns. Not here: the readers (sink.h), the bare
// loop (bench/floor).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace twinwire::bench {

struct FanoutOptions {
  std::string program;  // the twinwire to start
  std::string floor;    // the floor_send to start
  std::vector<uint32_t> readers{1000};
  std::vector<uint32_t> windows{1, 16};  // messages published and not yet received by all
  std::string transport = "both";        // sse, ws, both
  uint32_t repetitions = 7;
  uint32_t slice_ms = 400;      // of one turn, at least
  uint32_t message_bytes = 64;  // of the content
  uint32_t shards = 1;
  bool pin = true;   // server and bare loop on core 0, readers on core 1
  bool kept = true;  // messages.send, stored; else ephemeral events
  std::string scratch = "/tmp";
  std::vector<std::string> settings;
  bool json = false;
  bool quiet = false;
};

// 0: measured, nothing lost, repeated or reordered; 1: something was; 2: the run could not begin.
int fanout(const FanoutOptions& options);

}  // namespace twinwire::bench
