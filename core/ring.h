// Ring: the one log in memory. Many producers (the rooms' home shards), every consumer (shards, the writer)
// reads every slot in the same order. A slot's position is the sequence. Nothing here waits: a claim succeeds
// or says no. Not here: who is interested (the home sets the mask), what a slot means (shard.cc), sleeping
// (the Waker does it).
//
// Roles:  producer  try_claim → fill slots → publish        consumer  peek(next) → … → consumed(position)
// Bounds: slots (a lap), bytes in flight, and the lease of sequences that may be given (written ahead by the
// store).
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/event.h"
#include "core/types.h"

namespace twinwire {

// One cache line. Written by its producer between claim and publish, read-only after, until the lap comes
// round.
struct alignas(64) Slot {
  std::atomic<uint64_t> mark{0};  // the sequence once published (release); consumers acquire
  const Event* event = nullptr;   // null: a noop
  RoomId room;
  uint64_t mask = 0;   // shards with readers of this room; bit = ShardIndex
  uint32_t bytes = 0;  // what was claimed for the byte budget: event->size(), 0 for control
  EventKind kind = EventKind::noop;
  bool kept = false;        // the writer has a reference: to store the event, or (a marker) what it says
  bool marker = false;      // nothing is kept of the event itself
  uint64_t claimed_us = 0;  // Clock::now_us() just before the claim; 0: nobody measures
};
static_assert(sizeof(Slot) == 64);

// The right to fill the slots [first, first + count): to be published, every one of them, at once.
struct [[nodiscard]] Claim {
  Sequence first;
  uint32_t count = 0;
};

// Called by a producer for consumers that declared themselves asleep. Any thread; must not block.
class Waker {
 public:
  virtual ~Waker() = default;
  virtual void wake(uint32_t consumer) = 0;
};

class Ring {
 public:
  struct Options {
    uint32_t slots = 1 << 16;         // a power of two
    uint64_t bytes = 256ull << 20;    // of events published and not yet passed by every consumer
    uint32_t shards = 1;              // consumers 0…shards-1; the writer is consumer `shards`
    Sequence first{1};                // the first sequence that will be given
    Sequence lease_end{0};            // sequences < lease_end may be given
    bool wake_writer_always = false;  // deliver = commit: every slot waits for the writer, not only kept ones
  };
  static constexpr uint32_t kBatchMax = 64;   // slots of one claim
  static constexpr uint32_t kReserve = 1024;  // slots above the limit that control events may use

  Ring(const Options& options, Waker& waker);

  // ---- producers ----
  enum class Priority : uint8_t { state, normal, control };  // state is shed from three quarters on
  // Room for `count` slots whose events take `bytes` in all, or nothing (overloaded). One fetch-add, never
  // waits.
  std::optional<Claim> try_claim(uint32_t count, uint64_t bytes, Priority priority);
  Slot& slot(Sequence sequence) { return slots_[sequence.value & mask_]; }
  // Makes a filled slot visible and wakes its sleeping readers. The slot's event must be prepaid.
  // later: the writer is left to sleep; the publisher wakes it soon by wake_if_sleeping().
  enum class WakeWriter : uint8_t { now, later };
  void publish(Sequence sequence, WakeWriter wake = WakeWriter::now);
  // Whether the writer is to be woken for such a slot.
  bool wakes_writer(const Slot& slot) const { return slot.kept || wake_writer_always_; }
  // The last sequence anyone was given so far: the cut of a join (everything a home claims later is above
  // it).
  Sequence claimed() const { return {next_.load(std::memory_order_seq_cst) - 1}; }

  // ---- consumers ----
  // The slot after `consumed`, if it is published.
  const Slot* peek(Sequence next) const {
    const Slot& slot = slots_[next.value & mask_];
    return slot.mark.load(std::memory_order_acquire) == next.value ? &slot : nullptr;  // partner: publish()
  }
  // Everything up to and including `position` has been read by this consumer; `bytes` of it since the last
  // call.
  void consumed(uint32_t consumer, Sequence position, uint64_t bytes);
  Sequence consumed_position(uint32_t consumer) const {
    return {consumers_[consumer].position.load(std::memory_order_acquire)};
  }
  Sequence consumed_min() const;
  uint64_t bytes_in_flight() const;

  // Sleep protocol: set_sleeping(true), look at ring and mailbox once more, sleep, set_sleeping(false).
  void set_sleeping(uint32_t consumer, bool sleeping);
  // Wakes `consumer` if it sleeps. Any thread. Full fence inside: what was stored before is seen by the
  // awakened.
  void wake_if_sleeping(uint32_t consumer);

  // ---- the store ----
  void extend_lease(Sequence lease_end) { lease_end_.store(lease_end.value, std::memory_order_release); }
  Sequence lease_end() const { return {lease_end_.load(std::memory_order_acquire)}; }

  uint64_t byte_budget() const { return byte_budget_; }
  uint32_t slot_count() const { return static_cast<uint32_t>(mask_ + 1); }
  uint32_t shards() const { return shards_; }
  uint32_t writer_consumer() const { return shards_; }
  Sequence first() const { return first_; }

 private:
  struct alignas(64) Consumer {
    std::atomic<uint64_t> position{0};
    std::atomic<uint64_t> bytes{0};
    std::atomic<bool> sleeping{false};
  };
  bool refresh_limits(uint64_t wanted_end, uint64_t wanted_bytes, uint64_t slack, uint64_t byte_slack);

  // Constant after construction.
  const uint64_t mask_;
  const uint64_t byte_budget_;
  const uint32_t shards_;
  const Sequence first_;
  const bool wake_writer_always_;
  Waker& waker_;
  std::unique_ptr<Slot[]> slots_;
  std::vector<Consumer> consumers_;

  // Shared atomics, each on its own line.
  alignas(64) std::atomic<uint64_t> next_;  // the sequence the next claim gets
  alignas(64) std::atomic<uint64_t> claimed_bytes_{0};
  alignas(64) std::atomic<uint64_t> limit_{0};  // cached: first sequence that may not be claimed normally
  std::atomic<uint64_t> byte_limit_{0};
  // Claims past these look at the consumers anew, although the limits are further off: half a lap must be
  // noticed.
  std::atomic<uint64_t> look_at_{0};
  std::atomic<uint64_t> look_at_bytes_{0};
  alignas(64) std::atomic<uint64_t> lease_end_;
};

}  // namespace twinwire
