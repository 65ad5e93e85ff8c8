// Retention: forgets what need not be kept: events by age and by number per room, the messages of cleared
// rooms, expired idempotency entries. A room's trimmed_through is on disk before anything of it is removed,
// so that a reader is told `reset` `trimmed` and never served a hole. Works in rounds over all rooms, a
// bounded piece per step(). Not here: threads (store.h), what readers filter (room_reader.h). One thread
// calls step().
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "core/durability.h"
#include "core/status.h"
#include "store/database.h"
#include "store/shared_state.h"

namespace twinwire::store {

struct RetentionOptions {
  uint64_t keep_ms = 0;      // of the wall clock; 0: for ever
  uint64_t keep_events = 0;  // per room; 0: all
  Millis idempotency_keep_ms = 86'400'000;
  uint32_t visits_per_step = 512;   // entries looked at, and at most as many removed
  uint32_t trims_per_sync = 64;     // rooms whose trimmed_through shares one sync
  Millis pause_ms = 10'000;         // between rounds over the rooms; after a failure too
  Millis ids_pause_ms = 3'600'000;  // between rounds over the idempotency entries
};

class Retention {
 public:
  // `on_trimmed(room, trimmed_through)` after it is on disk; it may be empty.
  Retention(const RetentionOptions& options, Database& database, const Durability& durability,
            SharedState& shared, const Clock& clock, std::function<void(RoomId, Sequence)> on_trimmed);

  // One bounded piece of work; false: nothing to do before the next round.
  bool step(Millis now);

  struct Counts {
    uint64_t rounds = 0, trimmed_rooms = 0, removed_events = 0, purged_events = 0, removed_ids = 0,
             failures = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  enum class Phase : uint8_t { idle, next_room, count, age, persist, remove, purge, ids };
  struct Trim {
    RoomId room;
    Sequence upto;
    Sequence from = {};  // what lies below is removed: scanning it again would meet only its graves
  };
  struct Purge {
    RoomId room;
    Sequence from, upto;  // messages with from <= sequence < upto
  };

  bool choose(Millis now);
  Result<void> run();
  Result<void> find_room();
  Result<void> count_back();
  Result<void> look_at_age();
  void judge();
  Result<void> persist();
  Result<void> remove();
  Result<void> purge();
  Result<void> remove_changes(RoomId room, Sequence from, Sequence to);
  Result<void> expire_ids();
  Result<void> note_leftovers(RoomId room, Sequence trimmed, Sequence cleared, Sequence purged);
  void next_after_room();

  // Constant after construction.
  const RetentionOptions options_;
  Database& database_;
  const Durability& durability_;
  SharedState& shared_;
  const Clock& clock_;
  const std::function<void(RoomId, Sequence)> on_trimmed_;

  std::unique_ptr<WriteSet> writes_;
  Phase phase_ = Phase::idle;
  Counts counts_;
  bool first_round_ = true;  // or the first after a failure: looks for what was left over
  bool leftovers_ = false;   // this round does
  Millis next_round_ = 0, next_ids_ = 0;
  // The round over the rooms.
  std::string rooms_from_;  // the next key to look at in `rooms`
  bool rooms_end_ = false;
  RoomId room_;  // the one being judged
  Sequence trimmed_, target_;
  Sequence position_;  // where counting or looking at age goes on
  uint64_t counted_ = 0;
  std::vector<Trim> trims_;    // decided, not yet on disk
  std::deque<Trim> removals_;  // on disk, not yet removed
  std::deque<Purge> purges_;
  std::vector<RoomId> postponed_;  // their newest clearing was not settled yet
  Millis postponed_until_ = 0;
  std::string ids_from_;
};

}  // namespace twinwire::store
