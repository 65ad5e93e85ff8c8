// How far the store is: a few atomics that the writer moves and everyone reads.
// Not here: how it is moved (store/writer.h). Written by the writer's thread, read by any.
#pragma once

#include <atomic>
#include <vector>

#include "core/histogram.h"
#include "core/types.h"

namespace twinwire {

// When an event may be delivered (the fan-out barrier).
enum class DeliverPolicy : uint8_t { publish, commit };

// One start of the server on this data directory. Cursors in (settled, first) belong to what may have been
// lost.
struct StartRecord {
  Sequence settled;                                 // R: settled through when this run began
  Sequence first;                                   // L: the first sequence of this run
  DeliverPolicy previous = DeliverPolicy::publish;  // the policy of the run that ended
};

// What opening a data directory tells the engine (design: "Crash", "Lease").
struct StoreBoot {
  Epoch epoch;
  uint64_t room_key = 0;            // seed of the RoomId hash
  Sequence first;                   // first sequence of this run
  Sequence lease_end;               // sequences below it may be given
  Sequence settled;                 // last settled_through on disk
  std::vector<StartRecord> starts;  // oldest first; the last one is this run
};

// What the save hook tells operators (relaxed; each written by the hook's thread, `queued` by the writer
// too).
struct HookCounters {
  std::atomic<uint64_t> queued{0}, delivered{0}, batches{0}, failures{0}, dropped{0}, unreadable{0};
  std::atomic<uint64_t> waiting_since_wall_ms{0};  // the oldest event that waits; 0: none
};

class Durability {
 public:
  explicit Durability(Sequence settled, Sequence first) : durable_(first.value - 1), synced_(settled.value) {}

  // Everything up to here is settled (stored or unsaved, or had nothing to store). Moves after the outcomes
  // are set.
  Sequence durable() const { return {durable_.load(std::memory_order_acquire)}; }
  // The last settled_through that is on disk. Ids that are no kept event's own never go past it.
  Sequence synced() const { return {synced_.load(std::memory_order_acquire)}; }
  // False while the store fails or its backlog is full: homes refuse kept events before claiming.
  bool accepting() const { return accepting_.load(std::memory_order_acquire); }
  // True while the store fails: under `commit`, typing and presence are shed.
  bool failing() const { return failing_.load(std::memory_order_acquire); }

  // Writer only. Each is a release store; the acquire loads above are the partners.
  void set_durable(Sequence s) { durable_.store(s.value, std::memory_order_release); }
  void set_synced(Sequence s) { synced_.store(s.value, std::memory_order_release); }
  void set_accepting(bool b) { accepting_.store(b, std::memory_order_release); }
  void set_failing(bool b) { failing_.store(b, std::memory_order_release); }

  // Shards that want to hear of progress (pending acks, or slots behind the barrier) set their bit before
  // they sleep; after moving anything above the writer takes the mask and calls Ring::wake_if_sleeping for
  // each bit.
  void wait_for_progress(ShardIndex shard) { waiting_.fetch_or(mask_of(shard), std::memory_order_seq_cst); }
  uint64_t take_waiting() {
    // Dekker with idle(): either we see the bit, or the shard's second look sees how far the writer is.
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (waiting_.load(std::memory_order_seq_cst) == 0) return 0;  // partner: wait_for_progress()
    return waiting_.exchange(0, std::memory_order_seq_cst);
  }

  // Counters for operators (relaxed; writer only writes).
  std::atomic<uint64_t> stored_events{0}, unsaved_events{0}, syncs{0}, backlog_events{0}, commit_failures{0};
  HookCounters hook;
  std::atomic<uint64_t> backlog_bytes{0};
  std::atomic<uint64_t> oldest_us{
      0};  // Clock::now_us() of the oldest event that waits for the store; 0: none waits
  std::atomic<bool> given_up{false};  // the store has failed for `store.give_up_ms` and has not healed
  SharedHistogram<LatencyHistogram> commit_time;    // of synced commits that succeeded
  SharedHistogram<GroupHistogram> commit_events;    // kept events in each
  SharedHistogram<LatencyHistogram> store_latency;  // of kept events, from their claim to the end of the sync

  // What the database says of itself, about once a second (retention's thread writes).
  struct Database {
    std::atomic<uint64_t> table_bytes{0}, memory_bytes{0}, cache_bytes{0}, compaction_pending_bytes{0};
    std::atomic<uint64_t> estimated_keys{0}, compactions_running{0}, flushes_running{0}, errors{0};
    std::atomic<uint64_t> write_rate_limit{0};  // bytes per second while writes are slowed down, else 0
    std::atomic<bool> writes_stopped{false};
  } database;

 private:
  std::atomic<uint64_t> durable_;
  std::atomic<uint64_t> synced_;
  std::atomic<uint64_t> waiting_{0};
  std::atomic<bool> accepting_{true};
  std::atomic<bool> failing_{false};
};

}  // namespace twinwire
