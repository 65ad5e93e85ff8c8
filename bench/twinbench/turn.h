// One turn of a measurement: messages are published, all readers get them, again, until the time is up; then
// the CPU time of the sending process over what was delivered. Not here: who publishes and who reads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "bench/client/loop.h"
#include "bench/twinbench/sink.h"
#include "core/status.h"

namespace twinwire::bench {

struct Turn {
  double nanos_per_delivery = 0;
  uint64_t deliveries = 0;
  double seconds = 0;
  double reader_busy = 0;  // CPU of this harness over the time: near 1, it is the bottleneck
};

struct TurnPlan {
  pid_t server;
  uint32_t window;       // messages published at once
  uint32_t frame_bytes;  // of one message at one reader
  client::Nanos slice;
  std::function<void()> publish;                      // `window` messages
  std::function<bool(std::string_view burst)> check;  // what one reader got; false is an error
};

// Error: a burst did not arrive whole within 20 s, or `check` said no.
Result<Turn> take_turn(client::Loop& loop, SinkGroup& group, const TurnPlan& plan);

// Runs the loop until `done`, at most 20 s.
Result<void> run_until(client::Loop& loop, const char* what, const std::function<bool()>& done);

// Opens `count` readers, some at a time.
Result<void> open_readers(client::Loop& loop, SinkGroup& group, uint32_t count);

void pin_this_thread(int core);
double median(std::vector<double> values);

}  // namespace twinwire::bench
