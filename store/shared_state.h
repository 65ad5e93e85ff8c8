// What the store's parts tell one another in memory: filters, which rooms' stored past changed, and ghosts.
// Not here: how far the store is (core/durability.h). Owned by whoever wires the store; outlives writer,
// history and retention. Any thread, as each member says.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <unordered_set>
#include <utility>
#include <vector>

#include "core/types.h"
#include "store/filters.h"

namespace twinwire::store {

// Counts changes of a room's past (trimmed, cleared), so that a chunk read before is known to be old. Rooms
// share counters by hash; a false alarm costs one read. Any thread.
class RoomVersions {
 public:
  // seq_cst on both sides: a reader that starts after changed() returned sees the new count.
  uint32_t of(RoomId room) const { return at(room).load(std::memory_order_seq_cst); }
  void changed(RoomId room) { at(room).fetch_add(1, std::memory_order_seq_cst); }

 private:
  static constexpr size_t kCounters = 4096;
  std::atomic<uint32_t>& at(RoomId room) { return counters_[room.low % kCounters]; }
  const std::atomic<uint32_t>& at(RoomId room) const { return counters_[room.low % kCounters]; }
  std::array<std::atomic<uint32_t>, kCounters> counters_{};
};

// Ghosts: events that were told unsaved although a batch with them was handed to the database and may have
// reached it. They are left out of every read until the writer has removed them. Empty nearly always. Any
// thread.
class Ghosts {
 public:
  // Writer, before the outcome is set and `durable` moves over the event.
  void add(Sequence sequence) {
    std::lock_guard lock(mutex_);
    sequences_.insert(sequence.value);
    any_.store(true, std::memory_order_seq_cst);
  }
  // Writer, once the removal is committed.
  void remove(Sequence sequence) {
    std::lock_guard lock(mutex_);
    sequences_.erase(sequence.value);
    any_.store(!sequences_.empty(), std::memory_order_seq_cst);
  }
  // Readers take the copy after `durable` and before they read: what became a ghost later lies above that
  // durable, and what was removed before is gone from the database.
  std::unordered_set<uint64_t> snapshot() const {
    if (!any_.load(std::memory_order_seq_cst)) return {};
    std::lock_guard lock(mutex_);
    return sequences_;
  }

 private:
  std::atomic<bool> any_{false};
  mutable std::mutex mutex_;
  std::unordered_set<uint64_t> sequences_;
};

// Rooms that were cleared and wait to be purged from the disk: the writer puts in, retention takes out.
class ClearedRooms {
 public:
  void add(RoomId room) {
    std::lock_guard lock(mutex_);
    rooms_.push_back(room);
  }
  std::vector<RoomId> take() {
    std::lock_guard lock(mutex_);
    return std::exchange(rooms_, {});
  }

 private:
  std::mutex mutex_;
  std::vector<RoomId> rooms_;
};

struct SharedState {
  explicit SharedState(const IdempotencyFilter::Options& ids) : filters(ids) {}
  Filters filters;
  RoomVersions versions;
  Ghosts ghosts;
  ClearedRooms cleared;
};

}  // namespace twinwire::store
