// The other side of a comparison: floor_send and as many readers, in a process of their own, since two sets
// of 10,000 sockets do not fit one. Takes a turn when asked. Thread: the caller's; every call blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "bench/twinbench/turn.h"
#include "core/status.h"

namespace twinwire::bench {

class BareSide {
 public:
  struct Options {
    std::string program;  // floor_send
    std::string log;
    uint32_t readers = 0;
    int floor_core = -1;  // -1: not pinned
    int reader_core = -1;
  };
  BareSide() = default;
  ~BareSide();
  BareSide(const BareSide&) = delete;
  BareSide& operator=(const BareSide&) = delete;

  // Forks: to be called before this process has a loop that anything waits on.
  Result<void> start(const Options& options);
  // Sends bursts of `window` frames to every reader, `joined` of them in one send().
  struct Order {
    uint32_t window;
    uint32_t joined;
    uint32_t slice_ms;
  };
  Result<Turn> turn(const Order& order, const std::string& frame);

 private:
  pid_t pid_ = -1;
  int channel_ = -1;  // a socket pair
};

}  // namespace twinwire::bench
