// The readers of one target: processes that hold them (worker.h), orders to all of them, and what they count,
// added up. Not here: the target, what a mode measures. Thread: the harness's main one; every call blocks,
// and shows progress meanwhile. Owns the processes and the memory they share.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/twinbench/worker.h"
#include "core/status.h"

namespace twinwire::bench {

struct Sums {
  uint64_t live = 0, ended = 0, refused = 0, deliveries = 0, lost = 0, repeated = 0, reordered = 0;
  uint64_t reads = 0, complete = 0, said = 0, answered = 0, refusals = 0, late_max = 0;
};

// Whether an order was done, where what it counted does not matter.
inline Result<void> outcome_of(const Result<Answer>& answer) {
  return answer ? Result<void>() : Result<void>(answer.error());
}

class Crew {
 public:
  struct Options {
    client::Endpoint to;
    Dialect dialect;
    Mix mix = Mix::sse;
    uint32_t readers = 0;
    uint32_t rooms = 0;    // 0: all readers in one; else readers is a multiple of it
    uint32_t workers = 0;  // 0: as descriptors ask for
    char letter = 'r';
    uint32_t first_source = 0;
    bool timing = false;
    uint32_t slow = 0;
    uint32_t content_bytes = 64;
    uint32_t cursors_per_room = 0;
    std::vector<int> cores = {};  // where the processes may run; empty: anywhere
  };
  Crew() = default;
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Forks. Only while this process has one thread.
  Result<void> start(Options options);
  bool started() const { return !members_.empty(); }
  uint32_t workers() const { return static_cast<uint32_t>(members_.size()); }
  uint32_t readers() const { return options_.readers; }

  // To one, or to all at once; their values added up, the longest time. Error: the first that failed.
  Result<Answer> tell(uint32_t worker, const Order& order, std::string_view text = {});
  Result<Answer> tell_all(Order order, std::string_view text = {});
  // An order of one word, to all, where what it counts does not matter.
  Result<void> tell_all(Order::What what);
  // To all that speak: the first where there is one room.
  Result<Answer> tell_speakers(const Order& order, std::string_view text = {});
  // Opens every worker's share.
  Result<Answer> open(uint32_t at_once);

  Sums sums() const;
  client::Histogram histogram(client::Histogram Tally::*which) const;
  // CPU time of the reader processes.
  uint64_t cpu_nanos() const;
  std::string last_end() const;
  // Called every 100 ms while an order is under way.
  void set_on_wait(std::function<void()> on_wait) { on_wait_ = std::move(on_wait); }

 private:
  struct Member {
    pid_t pid;
    int channel;
    uint32_t readers;
  };
  void send_order(const Member& member, const Order& order, std::string_view text);
  Result<Answer> answer_of(const Member& member);
  Result<Answer> answers();  // of all, added up
  Result<void> fork_one(uint32_t index, uint32_t first, uint32_t readers);

  Options options_;
  std::vector<Member> members_;
  void* memory_ = nullptr;
  size_t memory_bytes_ = 0;
  Shared shared_;
  std::function<void()> on_wait_;
};

}  // namespace twinwire::bench
