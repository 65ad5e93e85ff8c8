// Signal: lets one or more threads sleep until raised, with a time-out; raising never blocks and costs a few
// nanoseconds while nobody sleeps. A futex (Linux). Not here: what is waited for; look again after every
// wait. Any thread.
#pragma once

#include <atomic>
#include <cstdint>

#include "core/types.h"

namespace twinwire::store {

class Signal {
 public:
  // A count to pass to wait(): take it, look for work, and wait only if there is none.
  uint32_t epoch() const { return count_.load(std::memory_order_acquire); }
  // Returns when raised since `epoch` was taken, after `timeout` ms, or for no reason.
  void wait(uint32_t epoch, Millis timeout) { wait_us(epoch, timeout * 1000); }
  void wait_us(uint32_t epoch, uint64_t timeout_us);  // the same in microseconds
  // Wakes one sleeper, or all.
  void raise(bool all = false);

 private:
  std::atomic<uint32_t> count_{0};
  std::atomic<uint32_t> sleepers_{0};
};

}  // namespace twinwire::store
