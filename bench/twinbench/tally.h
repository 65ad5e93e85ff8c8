// What one reader process counts, in memory shared with the harness's main process, which reads while it
// runs. Each number has one writer; relaxed loads and stores are enough, since nothing else is published by
// them. The histograms are read only after the worker's answer to an order, which orders them.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "bench/client/histogram.h"

namespace twinwire::bench {

class Count {
 public:
  void add(uint64_t n = 1) { value_.store(get() + n, std::memory_order_relaxed); }
  void take(uint64_t n = 1) { value_.store(get() - n, std::memory_order_relaxed); }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  void raise(uint64_t n) {
    if (n > get()) set(n);
  }
  uint64_t get() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct Tally {
  Count live;        // readers subscribed now
  Count ended;       // streams that the server or the network ended
  Count refused;     // streams answered with another status than 200 or 101
  Count deliveries;  // messages that came whole, each reader's counted
  Count reads;       // receives in which something came: how well a server joins what it sends
  Count lost, repeated, reordered;
  Count complete;             // readers that have everything up to the goal
  Count said;                 // messages given to the server
  Count answered;             // answers to them
  Count refusals;             // of them, no success
  Count late_max;             // ns that a message was said behind its time, the worst: the harness's own lag
  client::Histogram latency;  // ns from when a message was due to a reader that has it
  client::Histogram opened;   // ns until a reader was subscribed
  client::Histogram completed;       // ns until a reader had everything up to the goal
  client::Histogram answers;         // ns from when a message was due to its answer
  std::array<char, 240> last_end{};  // why a stream ended, the first
};

}  // namespace twinwire::bench
