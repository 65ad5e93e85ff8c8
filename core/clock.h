// Time and chance, passed in so that the simulator runs the same code.
// Not here: any reading of the system's clock; the server's main supplies that (tools/twinwire/serve.cc).
#pragma once

#include <cstdint>

#include "core/types.h"

namespace twinwire {

class Clock {
 public:
  virtual ~Clock() = default;
  // Milliseconds of a clock that never goes back. Any thread.
  virtual Millis now_ms() const = 0;
  // The same in microseconds, to measure with; a clock that has no finer hand says what it has.
  virtual uint64_t now_us() const { return now_ms() * 1000; }
  // Milliseconds since 1970 (UTC), for timestamps shown to people; may go back. Any thread.
  virtual uint64_t wall_ms() const = 0;
};

class Random {
 public:
  virtual ~Random() = default;
  // 64 bits that nobody can guess (a seeded sequence in the simulator). One thread per object.
  virtual uint64_t next() = 0;
};

}  // namespace twinwire
